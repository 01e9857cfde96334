"""How values are written on pages. Available in every template without a load tag."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField
from django.template import Context
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timezone import now

from endpoints import access as endpoints
from endpoints.models import NAME_RULE
from registry.models import ModelVersion
from studio.accounts.models import User
from studio.context import Section
from studio.lib.text import readable_json
from tracking.models import moment as tracking_moment

register = template.Library()

_UNITS = (
    ("year", 31_536_000),
    ("month", 2_592_000),
    ("day", 86_400),
    ("h", 3600),
    ("min", 60),
)
_LONG_PARAM = 40  # characters: of a param with more a table shows the beginning
# A number that nobody has chosen.
_COMPUTED = re.compile(r"-?\d+\.\d{7,}(e[+-]?\d+)?", re.ASCII)
# A run's or deployment's state as a word, a colour and a sign.
_STATES = {
    "FINISHED": ("Finished", "good", "✓"),
    "FAILED": ("Failed", "bad", "✕"),
    "KILLED": ("Killed", "bad", "✕"),
    "RUNNING": ("Running", "busy", ""),
    "SCHEDULED": ("Scheduled", "muted", "…"),
}
_PILLS = {
    "live": "good",
    "failed": "bad",
    "degraded": "warn",
    "updating": "busy",
    "empty": "",
    "stopped": "",
    "paused": "",
    # Of a replica.
    "ready": "good",
    "unready": "warn",
    "gone": "",
}


@register.filter
def number(value: float | None) -> str:
    """A metric: six significant digits, and no more zeros than it needs."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if abs(value) >= 1.7976931348623157e308:
        return "∞" if value > 0 else "−∞"
    return f"{value:.6g}"


@register.filter
def short(value: str | None) -> str:
    """A param in a table: a number's rounding errors and a long text's end are left out."""
    if value is None:
        return "–"
    if _COMPUTED.fullmatch(value) and abs(float(value)) < 1e6:
        return number(float(value))
    return Truncator(value).chars(_LONG_PARAM)


@register.filter
def ended(sentence: str) -> str:
    """A sentence that another may follow."""
    return sentence if sentence.rstrip().endswith((".", "!", "?")) else f"{sentence.rstrip()}."


@register.filter
def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@register.filter
def pace(seconds: float) -> str:
    """How long a request took."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


@register.filter
def elapsed(seconds: float) -> str:
    """What runs still, in whole seconds, as static/js/elapsed.js goes on to tell it."""
    return f"{int(seconds)} s" if seconds < 60 else duration(int(seconds))


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """How long ago, with the exact time as a title."""
    if moment is None:
        return "–"
    told = _since(moment)
    return _dated(moment, f"{told} ago" if told else "just now")


@register.filter
def silence(moment: datetime) -> SafeString:
    """How long nothing has come since then, with the exact time as a title."""
    return _dated(moment, f"no news for {_since(moment) or 'a moment'}")


def _since(moment: datetime) -> str:
    """How much time has passed, in its largest unit. "" for less than a minute."""
    seconds = max(0.0, (now() - moment).total_seconds())
    for name, size in _UNITS:
        count = int(seconds // size)
        if count:
            plural = "s" if count > 1 and name in ("year", "month", "day") else ""
            return f"{count} {name}{plural}"
    return ""


def _dated(moment: datetime, told: str) -> SafeString:
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, told)


@register.filter
def run_mark(status: str | None) -> SafeString:
    """A run's state as a small sign with a title."""
    word, colour, sign = _STATES.get(status or "", (status or "Unknown", "muted", "?"))
    return format_html(
        '<span class="st {}" role="img" aria-label="{}" title="{}">{}</span>',
        colour,
        word,
        word,
        sign,
    )


@register.filter
def run_pill(status: str | None) -> SafeString:
    word, colour, _ = _STATES.get(status or "", (status or "Unknown", "", ""))
    return format_html('<span class="pill {}">{}</span>', colour, word)


@register.simple_tag
def state_pill(state: str, label: str = "") -> SafeString:
    """A deployment's or endpoint's state. What is not settled is busy."""
    return format_html(
        '<span class="pill {}">{}</span>',
        _PILLS.get(state, "busy"),
        label or state.capitalize(),
    )


@register.filter
def is_current(section: Section, path: str) -> bool:
    return path == section.path if section.path == "/" else path.startswith(section.paths)


@register.filter
def styled(field: BoundField) -> SafeString:
    """A form's field with the look of Studio, and its errors told to screen readers."""
    attributes: dict[str, Any] = {"class": "input"}
    if field.errors:
        attributes["aria-invalid"] = "true"
    return field.as_widget(attrs=attributes)


@register.filter
def item(values: dict[str, Any], key: str) -> Any:
    """A value whose key is no plain word: `tags|item:"source.name"`."""
    return values.get(key)


@register.filter
def moment(milliseconds: int | None) -> datetime | None:
    """MLflow's times as a point in time."""
    return tracking_moment(milliseconds)


@register.filter
def as_json(value: Any) -> str:
    return readable_json(value)


@register.filter
def ready_count(replicas: list[Any]) -> int:
    return sum(replica.state == "ready" for replica in replicas)


@register.filter
def may_deploy(user: User) -> bool:
    return endpoints.may_deploy(user)


@register.simple_tag(takes_context=True)
def target(context: Context) -> str:
    """The name of the endpoint that a person is choosing a version for: it goes with the links."""
    asked = context["request"].GET.get("endpoint", "")
    return asked if re.fullmatch(NAME_RULE, asked) else ""


@register.inclusion_tag("endpoints/_of_version.html", takes_context=True)
def deployed_at(context: Context, version: ModelVersion) -> dict[str, Any]:
    """Where a model version is deployed: on the registry's page, which knows nothing of endpoints."""
    found = endpoints.deployments_for(context["user"])
    return {"deployments": found.filter(model_name=version.name, model_version=version.version)}


@register.inclusion_tag("_code.html", takes_context=True)
def snippet(context: Context, name: str) -> dict[str, str]:
    """Text to copy from templates/snippets, with the page's own addresses in it."""
    values = {key: value for key, value in context.flatten().items() if isinstance(key, str)}
    return {"text": render_to_string(f"snippets/{name}.txt", values)}
