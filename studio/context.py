"""What base.html needs on every page."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest


class Section(NamedTuple):
    label: str
    url_name: str
    icon: str
    path: str


SECTIONS = (
    Section("Home", "home", "house", "/"),
    Section("Experiments", "tracking:experiments", "chart-line", "/experiments/"),
    Section("Models", "registry:models", "box", "/models/"),
    Section("Endpoints", "endpoints:endpoints", "radio", "/endpoints/"),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    sections = SECTIONS if request.user.is_authenticated else ()
    return {
        "sections": sections,
        "public_url": settings.PUBLIC_URL,
        "scoring_url": settings.SCORING_URL,
    }
