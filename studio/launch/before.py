"""What `up` looks at before it starts anything: what would fail later is told by one line now.

Each refusal is ImproperlyConfigured and names the setting to change.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ImproperlyConfigured, ValidationError

from studio.accounts.models import User
from studio.lib import artifacts, database, redis
from studio.lib.errors import Unavailable


def refuse_what_cannot_work() -> None:
    _refuse_home()
    _refuse_artifacts()
    _refuse_first_administrator()
    refuse_stores()


def refuse_stores() -> None:
    """PostgreSQL and Redis of the administrator's own. The embedded ones are Studio's to start."""
    if not settings.POSTGRES_EMBEDDED:
        database.refuse_unusable(settings.DATABASE_URL)
    if not settings.REDIS_EMBEDDED:
        redis.refuse_unusable(settings.REDIS_URL)


def _refuse_home() -> None:
    try:
        settings.HOME.make()
        _write_something(settings.HOME.root)
    except OSError as failure:
        raise ImproperlyConfigured(
            f"STUDIO_HOME={settings.HOME.root} cannot be written: {failure.strerror or failure}. "
            "Make it writable for this user, or set STUDIO_HOME to another folder"
        ) from None


def _refuse_artifacts() -> None:
    place: Path | str = settings.ARTIFACTS
    if not isinstance(place, Path):
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_something(place)
    except OSError as failure:
        raise ImproperlyConfigured(
            f"STUDIO_ARTIFACTS={place} cannot be written: {failure.strerror or failure}. "
            "Make it writable for this user, or set STUDIO_ARTIFACTS to another folder"
        ) from None


def refuse_artifacts_out_of_reach() -> None:
    """A folder that cannot be written, or a bucket that cannot be listed. Not for `up`: boto3 would stay in its memory."""
    _refuse_artifacts()
    try:
        artifacts.root().check()
    except Unavailable as away:
        raise ImproperlyConfigured(away.message) from None


def _write_something(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"Studio was here")


def _refuse_first_administrator() -> None:
    """Whether or not there is one by now: a typo would otherwise come out with the next database."""
    name, password = settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD
    try:
        User._meta.get_field("username").clean(name, None)
    except ValidationError as broken:
        raise ImproperlyConfigured(
            f"STUDIO_ADMIN_USERNAME={name!r}: {' '.join(broken.messages)}"
        ) from None
    try:
        if password:
            validate_password(password, User(username=name))
    except ValidationError as broken:
        raise ImproperlyConfigured(
            f"STUDIO_ADMIN_PASSWORD: {' '.join(broken.messages)} Write another, "
            "or leave it out: then Studio makes one"
        ) from None
