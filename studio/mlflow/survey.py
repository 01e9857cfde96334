"""What a database holds before Studio writes to it: nothing, Studio's own, MLflow's, or somebody else's.

Only reads. Raises ImproperlyConfigured, with one line that says what was found and what to do, for every
database that Studio must leave as it is.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterable, Mapping
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models
from django.db.migrations.loader import MigrationLoader

from studio.accounts.models import LEGACY_GRANTS

TRACKING, PERMISSIONS = "alembic_version", "alembic_version_auth"
# The table that holds the revision of a group of tables, and where in MLflow the revisions lie.
REVISIONS = {
    TRACKING: "store/db_migrations/versions",
    PERMISSIONS: "server/auth/db/migrations/versions",
}
# What MLflow makes first, in one transaction, before its revisions.
_FIRST = {"experiments", "runs", "metrics", "params", "tags"}
_USERS = {"id", "username", "password_hash", "is_admin"}
_OF_USERS = {"users", "roles", "role_permissions", "user_role_assignments", *LEGACY_GRANTS}
# MLflow before 3.6 made these, and did not write down at which revision.
_FIRST_OF_USERS = {"users", "experiment_permissions", "registered_model_permissions"}

_COLUMNS = """
SELECT c.relname, coalesce(array_agg(a.attname::text) FILTER (WHERE a.attnum > 0 AND NOT a.attisdropped), '{}')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
LEFT JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.relname
"""
_MAY_CREATE = (
    "SELECT current_user, current_schema(), has_schema_privilege(current_schema(), 'CREATE')"
)
_OTHERS = """
SELECT current_user, pg_get_userbyid(c.relowner)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
WHERE c.relkind = 'r' AND c.relname = ANY(%s) AND NOT pg_has_role(c.relowner, 'USAGE') LIMIT 1
"""


class Kind(Enum):
    EMPTY = "nothing yet"
    STUDIOS = "Studio's tables, and MLflow's with them"
    CURRENT = "MLflow's tables, as the installed MLflow makes them"
    OLDER = "MLflow's tables, of an older MLflow"

    @property
    def is_foreign(self) -> bool:
        """MLflow has filled it without Studio."""
        return self in (Kind.CURRENT, Kind.OLDER)


class Database(NamedTuple):
    """A database under survey: its tables with their columns, and how it is told of."""

    cursor: Any
    given: Mapping[str, Any]  # its entry of DATABASES
    tables: dict[str, set[str]]

    @property
    def name(self) -> str:
        host = self.given.get("HOST", "")
        on = f" on {host}" if host and not host.startswith("/") else ""
        return f"The database {self.given['NAME']}{on}"

    def rows(self, statement: str, *given: object) -> list[tuple[Any, ...]]:
        self.cursor.execute(statement, given)
        found: list[tuple[Any, ...]] = self.cursor.fetchall()
        return found


def survey(alias: str) -> Kind:
    """Say what the database holds. Raises ImproperlyConfigured where Studio must not write to it."""
    with connections[alias].cursor() as cursor:
        return survey_of(cursor, connections[alias].settings_dict)


def survey_of(cursor: Any, given: Mapping[str, Any]) -> Kind:
    cursor.execute(_COLUMNS)
    found = Database(cursor, given, {name: set(columns) for name, columns in cursor.fetchall()})
    _check_may_create(found)
    if _is_studios(found):
        for table in REVISIONS:
            _check_not_newer(found, table)
        return Kind.STUDIOS
    if _is_empty(found):
        return Kind.EMPTY
    _check_clashes(found)
    _check_is_mlflows(found)
    _check_users(found)
    _check_owner(found)
    for table in REVISIONS:
        _check_not_newer(found, table)
    _check_workspaces(found)
    if any(_revision(found, table) != head(folder) for table, folder in _kept(found).items()):
        return Kind.OLDER
    _check_complete(found)
    return Kind.CURRENT


def refuse_older(given: Mapping[str, Any]) -> ImproperlyConfigured:
    """What to tell who starts Studio on tables of an older MLflow."""
    name = given["NAME"]
    return ImproperlyConfigured(
        f"The tables in the database {name} are of an MLflow older than Studio's, {version('mlflow')}. Stop "
        f"the old server, take a backup (`{backup_command(given)}`), and then run `manage.py migrate --adopt`: "
        "it upgrades them, and the old MLflow cannot use them any more."
    )


def backup_command(given: Mapping[str, Any]) -> str:
    """The command that dumps the database, without its password."""
    words = ["pg_dump"]
    for option, key in (("--host", "HOST"), ("--port", "PORT"), ("--username", "USER")):
        words += [option, str(given[key])] if given.get(key) else []
    name = str(given["NAME"])
    return shlex.join([*words, "--format=custom", f"--file={name}.dump", name])


def revisions(folder: str) -> set[str]:
    """The revisions in a folder of MLflow's. Reads its files, and imports nothing."""
    return _written("revision", folder)


def head(folder: str) -> str:
    """The last revision in a folder of MLflow's: the one that no other follows."""
    (last,) = revisions(folder) - _written("down_revision", folder)
    return last


def _written(name: str, folder: str) -> set[str]:
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None and spec.origin is not None  # a dependency
    texts = (path.read_text() for path in (Path(spec.origin).parent / folder).glob("*.py"))
    pattern = re.compile(rf'^{name}\b[^=]*= "(\w+)"', re.M)
    return {match for text in texts for match in pattern.findall(text)}


def _check_may_create(found: Database) -> None:
    ((user, schema, allowed),) = found.rows(_MAY_CREATE)
    if not allowed:
        place = f"the schema {schema}" if schema else "any schema that its search_path names"
        raise ImproperlyConfigured(
            f"{found.name} does not let the user {user} make tables in {place}. Grant it: "
            f"GRANT CREATE, USAGE ON SCHEMA {schema or 'public'} TO {user}"
        )


def _check_owner(found: Database) -> None:
    """Who does not own a table can neither upgrade it nor refer to it."""
    for user, owner in found.rows(_OTHERS, list(found.tables)):
        raise ImproperlyConfigured(
            f"MLflow's tables in the database {found.given['NAME']} belong to {owner}, and DATABASE_URL signs in "
            f"as {user}: sign in as {owner}, or run GRANT {owner} TO {user}"
        )


def _is_studios(found: Database) -> bool:
    """Whether Studio's migrations have begun here. Raises for those of another Django project, or a newer Studio."""
    if "django_migrations" not in found.tables:
        return False
    begun = set(found.rows("SELECT app, name FROM django_migrations"))
    others = {app for app, _ in begun} - {config.label for config in apps.get_app_configs()}
    if others:
        raise ImproperlyConfigured(
            f"{found.name} is used by another Django project, or by a newer Studio (applications "
            f"{_listed(others)}). Set DATABASE_URL to a database of Studio's own, or of MLflow's."
        )
    newer = begun - set(MigrationLoader(None).disk_migrations)
    if newer:
        raise ImproperlyConfigured(
            f"{found.name} was last used by a newer Studio than this, {settings.VERSION} (it knows the migrations "
            f"{_listed(f'{app}.{name}' for app, name in newer)}). Start that one, or restore a backup from before it."
        )
    return bool(begun)


def _is_empty(found: Database) -> bool:
    """Whether there is nothing to lose: no tables, or a first start that was interrupted."""
    if not set(found.tables) - {"django_migrations"}:
        return True
    if set(found.tables) != _FIRST:
        return False
    return not any(found.rows(f"SELECT FROM {table} LIMIT 1") for table in _FIRST)  # noqa: S608 - constants


def _check_clashes(found: Database) -> None:
    own = set(connections["default"].introspection.django_table_names())
    taken = own & set(found.tables)
    if taken:
        raise ImproperlyConfigured(
            f"{found.name} has tables of something else under names that Studio needs ({_listed(taken)}). "
            "Set DATABASE_URL to a database in which MLflow is alone."
        )


def _check_is_mlflows(found: Database) -> None:
    missing = _FIRST - set(found.tables)
    if missing == _FIRST and PERMISSIONS in found.tables:
        raise ImproperlyConfigured(
            f"{found.name} holds MLflow's users and no experiments: set DATABASE_URL to the one that "
            "`mlflow server --backend-store-uri` was given."
        )
    if missing:
        raise ImproperlyConfigured(
            f"{found.name} holds tables that are not MLflow's ({_listed(found.tables)}). Set DATABASE_URL to an "
            "empty database, or to one that `mlflow server` has filled."
        )
    if TRACKING not in found.tables or _revision(found, TRACKING) is None:
        raise ImproperlyConfigured(
            f"{found.name} holds MLflow's tables half made: the table {TRACKING} does not say which version "
            "they are. Restore a backup of it, or set DATABASE_URL to another."
        )


def _check_users(found: Database) -> None:
    """Generic names: MLflow's own, or those of another program."""
    there = _OF_USERS & set(found.tables)
    kept = PERMISSIONS in found.tables
    if not there and not kept:
        return
    lacks = _USERS - found.tables.get("users", set())
    if lacks or not (kept or there >= _FIRST_OF_USERS):
        why = f": the table users has no column {_listed(lacks)}" if lacks else ""
        raise ImproperlyConfigured(
            f"{found.name} has tables under names that MLflow needs, and they are not MLflow's "
            f"({_listed(there)}){why}. Set DATABASE_URL to a database in which MLflow is alone."
        )
    if kept and _revision(found, PERMISSIONS) is None:
        raise ImproperlyConfigured(
            f"{found.name} holds MLflow's users half made: the table {PERMISSIONS} is empty. Restore a backup "
            "of it, or set DATABASE_URL to another."
        )


def _check_not_newer(found: Database, table: str) -> None:
    revision = _revision(found, table)
    if revision is not None and revision not in revisions(REVISIONS[table]):
        raise ImproperlyConfigured(
            f"{found.name} was last used by a newer MLflow than Studio's, {version('mlflow')} (its tables are at "
            f"revision {revision}). Use a Studio that has that MLflow, or restore the backup from before its upgrade."
        )


def _check_workspaces(found: Database) -> None:
    """Roles elsewhere give nothing here, and are let alone. Content would be out of reach."""
    parts = [
        f"SELECT workspace FROM {table} WHERE workspace <> 'default'"  # noqa: S608 - of the catalogue
        for table, columns in found.tables.items()
        if "workspace" in columns and table not in _OF_USERS and re.fullmatch(r"[a-z_]+", table)
    ]
    elsewhere = [name for (name,) in found.rows(" UNION ".join(parts))] if parts else []
    if elsewhere:
        raise ImproperlyConfigured(
            f"{found.name} has content in MLflow workspaces other than default ({_listed(elsewhere)}): this "
            "version of Studio has no workspaces, and could not show it. Keep using `mlflow server` for it."
        )


def _check_complete(found: Database) -> None:
    """At the right revision everything that Studio reads must be there."""
    for model in apps.get_models():
        ours = model._meta.managed or (
            model._meta.db_table in _OF_USERS and PERMISSIONS not in found.tables
        )
        if not ours and (lacks := _lacking(found, model)):
            raise ImproperlyConfigured(
                f"{found.name} holds MLflow's tables at the right revision, but {lacks} is missing. Restore a "
                "backup of it, or set DATABASE_URL to another."
            )


def _lacking(found: Database, model: type[models.Model]) -> str:
    table = model._meta.db_table
    if table not in found.tables:
        return f"the table {table}"
    columns = {field.column for field in model._meta.local_concrete_fields if field.column}
    lacks = columns - found.tables[table]
    return f"the column {min(lacks)} of {table}" if lacks else ""


def _kept(found: Database) -> dict[str, str]:
    """The groups of tables that MLflow has made here. Users it makes only where it asks for passwords."""
    has_users = bool(_OF_USERS & set(found.tables))
    return {table: REVISIONS[table] for table in REVISIONS if table == TRACKING or has_users}


def _revision(found: Database, table: str) -> str | None:
    """At which revision a group of tables is. None: nobody has said, or more than one thing."""
    if "version_num" not in found.tables.get(table, set()):
        return None
    rows = found.rows(f"SELECT version_num FROM {table}")  # noqa: S608 - one of two constants
    return str(rows[0][0]) if len(rows) == 1 else None


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(ordered[:5]) + more
