"""What base.html needs on every page."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from studio.accounts.models import User


class Section(NamedTuple):
    label: str
    url_name: str
    icon: str
    path: str
    also: tuple[str, ...] = ()  # other paths that belong to it

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, *self.also)


SECTIONS = (
    Section("Home", "home", "house", "/"),
    Section("Experiments", "tracking:experiments", "chart-line", "/experiments/", ("/runs/",)),
    Section("Models", "registry:models", "box", "/models/"),
    Section("Endpoints", "endpoints:endpoints", "radio", "/endpoints/"),
)
ADMINISTRATION = Section("Admin", "accounts:users", "shield", "/administration/")


def sections_for(user: User | AnonymousUser) -> tuple[Section, ...]:
    if isinstance(user, AnonymousUser):
        return ()
    return (*SECTIONS, ADMINISTRATION) if user.is_administrator else SECTIONS


def shell(request: HttpRequest) -> dict[str, Any]:
    return {
        "sections": sections_for(request.user),
        "public_url": settings.PUBLIC_URL,
        "scoring_url": settings.SCORING_URL,
    }
