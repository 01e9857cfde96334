"""Gives a database back to MLflow: what is Studio's goes, what is MLflow's stays."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from studio.accounts.adoption import HandedBack, hand_back_users
from studio.mlflow.survey import Kind, survey

# What people would miss, by its model; whatever else Studio keeps goes with it.
_MISSED = {
    "endpoints.Endpoint": "endpoints",
    "endpoints.Deployment": "deployments",
    "accounts.AccessToken": "tokens",
    "accounts.Grant": "grants on endpoints",
    "accounts.AuditEvent": "entries of the audit record",
}
_KEPT = {
    "tracking.Experiment": "experiments",
    "tracking.Run": "runs",
    "registry.RegisteredModel": "registered models",
    "accounts.MlflowUser": "users",
}
_MOMENT = 2.0  # seconds
_OTHERS = """
SELECT usename, coalesce(nullif(application_name, ''), 'a program'), coalesce(host(client_addr), 'this machine')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
"""
# What Studio adds beside its tables has a name that begins with `studio_`, on MLflow's tables too.
_TRIGGERS = r"""
SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger
JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND NOT tgisinternal AND tgname LIKE 'studio\_%'
"""
_FUNCTIONS = r"""
SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = current_schema() AND p.proname LIKE 'studio\_%'
"""
_INDEXES = r"""
SELECT format('DROP INDEX %s', c.oid::regclass) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'i' AND c.relname LIKE 'studio\_%'
"""


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else uses the database, and no `up` of this home starts meanwhile. Raises ImproperlyConfigured."""
    name = settings.DATABASES["default"]["NAME"]
    if settings.POSTGRES_EMBEDDED:
        raise ImproperlyConfigured(
            "This Studio keeps its own PostgreSQL, which is nobody's to give back: DATABASE_URL is not set."
        )
    settings.HOME.make()
    with settings.HOME.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImproperlyConfigured(
                f"Studio is running from {settings.HOME.root}: stop it first."
            ) from None
        others = _others()
        if others:
            raise ImproperlyConfigured(
                f"Others are connected to the database {name} ({', '.join(others[:5])}): stop every Studio, every "
                "MLflow server and whatever else uses it first."
            )
        yield


def _others() -> list[str]:
    """Who else is connected. Whoever has just gone is given a moment: PostgreSQL takes it to notice.

    To be asked before Django is: its pool has more connections than one.
    """
    deadline = time.monotonic() + _MOMENT
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as asking:
        while True:
            rows = asking.execute(_OTHERS).fetchall()
            found = sorted({f"{program} of {user} on {at}" for user, program, at in rows})
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def require_ours() -> None:
    """Raises ImproperlyConfigured where there is nothing of this Studio's to give back."""
    name = settings.DATABASES["default"]["NAME"]
    if survey("default") is not Kind.STUDIOS:
        raise ImproperlyConfigured(f"The database {name} holds nothing of Studio's.")
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise ImproperlyConfigured(
            f"The database {name} was last used by an older Studio: run `manage.py migrate` first, "
            "so that all that it has made is known."
        )


def told() -> tuple[str, str]:
    """What goes, and what stays."""
    return _counted(_MISSED), _counted(_KEPT)


def release() -> HandedBack:
    """Drop what is Studio's, all of it or nothing. Raises ImproperlyConfigured where something else hangs on it."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            handed = hand_back_users()
            _drop(_TRIGGERS)
            names = ", ".join(map(connection.ops.quote_name, [*tables, "django_migrations"]))
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"DROP TABLE {names}")
            _drop(_FUNCTIONS)
            _drop(_INDEXES)
    except DatabaseError as failure:
        raise ImproperlyConfigured(
            f"Nothing was changed: {' '.join(str(failure).split())}"
        ) from failure
    return handed


def _drop(statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statements)
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


def _counted(models: dict[str, str]) -> str:
    counts = (
        (apps.get_model(model)._default_manager.count(), word) for model, word in models.items()
    )
    return ", ".join(f"{count:,} {word}" for count, word in counts)
