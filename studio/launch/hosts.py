"""What must be so before a process joins the others of one Studio, which may run on other hosts.

Each refusal is ImproperlyConfigured with one line that names the setting or the command.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import QuerySet
from django.db.models.functions import Now

from endpoints.models import Agent
from studio.launch.models import Common
from studio.lib.home import STORE_ID
from studio.lib.secrets import derive
from studio.mlflow import schema

_SILENT = timedelta(seconds=15)  # an agent that has said nothing for so long has gone
_BEAT = 10  # seconds: an agent that lives says so in less: it waits for three at most, and looks at all replicas
_ANEW = "If all hosts shall use it from now on, run `manage.py prepare --settle` here once"
_GIVEN = {
    "DATABASE_URL": "the embedded PostgreSQL belongs to `manage.py up`, and no other host reaches it",
    "REDIS_URL": "the embedded Redis belongs to `manage.py up`, and no other host reaches it",
    "STUDIO_SECRET_KEY": "to be given, the same on all hosts, when further hosts join",
    "STUDIO_ARTIFACTS": "an object store, or a path that all hosts share",
}


def require_given() -> None:
    """The stores and the key of one host alone are of no use to another."""
    for name, why in _GIVEN.items():
        if not os.environ.get(name):
            raise ImproperlyConfigured(f"{name} is not set: {why}")


def require_prepared() -> None:
    """The tables must be those of this version: a process alone changes none."""
    executor = MigrationExecutor(connection)
    known = set(executor.loader.disk_migrations)
    ours = {app for app, _ in known}
    newer = [
        key for key in executor.loader.applied_migrations if key[0] in ours and key not in known
    ]
    if newer:
        raise ImproperlyConfigured(
            "The database belongs to a newer Studio than this one: install the same version on this host"
        )
    if executor.migration_plan(executor.loader.graph.leaf_nodes()) or not schema.is_current(
        "default"
    ):
        raise ImproperlyConfigured(
            "The database is not prepared for this version: run `manage.py prepare` once, on one host"
        )


def require_common() -> None:
    """The artifact store and the secret key are those that the other hosts use."""
    common = Common.objects.first()
    if common is None:
        raise ImproperlyConfigured(
            "The database is not prepared: run `manage.py prepare` once, on one host"
        )
    refuse_other(common.artifacts, common.secret_key)


def refuse_other(artifacts: str, secret_key: str) -> None:
    """Refuse a store and a key that are not those that the database has noted."""
    if artifacts != _store():
        raise ImproperlyConfigured(_other_store())
    if secret_key != _key():
        raise ImproperlyConfigured(
            f"STUDIO_SECRET_KEY is not the key that the other hosts use. {_ANEW}: "
            "keys of endpoints must then be made anew"
        )


def settle(*, anew: bool) -> None:
    """Note what all hosts shall use, and from then on refuse any other. `anew`: what this one uses now.

    Nobody but this host reaches an embedded database: there is nothing to refuse.
    """
    if not (anew or settings.POSTGRES_EMBEDDED) and Common.objects.exists():
        require_common()
        return
    place: Path | str = settings.ARTIFACTS
    store = _store() or (_marked(place) if isinstance(place, Path) else "")
    used = {"artifacts": store, "secret_key": _key()}
    Common.objects.update_or_create(pk=1, defaults=used)


def require_agent_here(what: str) -> None:
    """Model servers answer on Unix sockets, and read what the worker builds: all that have to do with them
    share one STUDIO_HOME. Of two agents each would start every replica.
    """
    strangers = Agent.objects.exclude(home__in=("", settings.HOME.id))
    told = _last_heard(strangers.filter(seen_at__gt=Now() - _SILENT))
    deadline = time.monotonic() + _BEAT
    while told and time.monotonic() < deadline:
        for host, seen_at in _last_heard(strangers).items():
            if host in told and seen_at > told[host]:
                raise ImproperlyConfigured(
                    f"{what} belongs on the host of the agent, which runs on {host} from another STUDIO_HOME: "
                    f"run it there, or end that agent first"
                )
        time.sleep(0.2)


def _last_heard(agents: QuerySet[Agent]) -> dict[str, datetime]:
    return dict(agents.values_list("host", "seen_at"))


def _store() -> str:
    """What tells the artifact store from others: a folder's id, empty where it has none; an address."""
    place: Path | str = settings.ARTIFACTS
    if not isinstance(place, Path):
        return place.rstrip("/")
    try:
        return (place / STORE_ID).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as failure:
        raise ImproperlyConfigured(
            f"STUDIO_ARTIFACTS={place} cannot be read: {failure.strerror}. A folder that hosts share belongs "
            "to one user, as whom Studio runs on all of them"
        ) from None


def _marked(place: Path) -> str:
    """The id of a folder, given to it now. Of two that do so at once the first counts."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = place / f"{STORE_ID}.{secrets.token_hex(4)}"
        draft.write_text(f"{secrets.token_hex(16)}\n")
        try:
            os.link(draft, place / STORE_ID)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return (place / STORE_ID).read_text().strip()
    except OSError as failure:
        raise ImproperlyConfigured(
            f"STUDIO_ARTIFACTS={place} cannot be written: {failure.strerror}"
        ) from None


def _other_store() -> str:
    place: Path | str = settings.ARTIFACTS
    what = "folder" if isinstance(place, Path) else "store"
    return f"STUDIO_ARTIFACTS={place} is not the {what} that the other hosts use. {_ANEW}"


def _key() -> str:
    return derive(settings.SECRET_KEY, "the same on all hosts").hex()
