"""MLflow's tables: made and upgraded by MLflow's own Alembic revisions, tracking first, then permissions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from studio.lib.database import sqlalchemy_url
from studio.mlflow.survey import REVISIONS, Kind, head, refuse_older, survey

# Any number: of those who bring one database to this version, each waits for the others.
_LOCK = 4_711_303_172


def upgrade(alias: str, *, adopt: bool = False) -> Kind:
    """Bring MLflow's tables in this database to the installed MLflow's revision, if they are not there.

    Returns what the database held before. Raises ImproperlyConfigured where Studio must leave it as it is: so
    must it tables of an older MLflow that Studio has not made, unless `adopt` is said.
    """
    found = survey(alias)
    if found is Kind.OLDER and not adopt:
        raise refuse_older(connections[alias].settings_dict)
    if not is_current(alias):
        _run_revisions(alias)
    return found


@contextmanager
def alone(alias: str) -> Iterator[None]:
    """Wait for whoever else brings this database to a version: two hosts may start at the same time."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def is_current(alias: str) -> bool:
    """Whether both groups of tables are at the revision that the installed MLflow ends with."""
    with connections[alias].cursor() as cursor:
        tables = connections[alias].introspection.table_names(cursor)
        for table, folder in REVISIONS.items():
            if table not in tables:
                return False
            cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of two constants
            if {row[0] for row in cursor.fetchall()} != {head(folder)}:
                return False
    return True


def _run_revisions(alias: str) -> None:
    """Run what is missing. Each group is brought there as a whole, or stays as it was.

    Uses private functions of MLflow: the lock pins its version, tests/studio/mlflow/test_schema.py tells.
    """
    # MLflow and SQLAlchemy take seconds to import: only who upgrades pays.
    import sqlalchemy
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth.db import utils as auth_tables
    from mlflow.store.db import utils as tracking_tables

    url = sqlalchemy_url(connections[alias].settings_dict)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own use of its libraries
        try:
            tracking_tables._safe_initialize_tables(engine)
            tracking_tables._upgrade_db(engine)
            auth_tables.migrate_if_needed(engine, "head")
        except (sqlalchemy.exc.SQLAlchemyError, MlflowException, RuntimeError) as failure:
            raise ImproperlyConfigured(
                f"MLflow could not upgrade its tables, which stay as they were: {_first_line(failure)}"
            ) from failure
        finally:
            engine.dispose()


def _first_line(failure: Exception) -> str:
    """What went wrong, without the statement and its values."""
    return str(failure).strip().partition("\n")[0]
