"""MLflow's tables: made and upgraded by MLflow's own Alembic revisions, tracking first, then permissions."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path

from django.db import connections

from studio.lib.database import sqlalchemy_url

# The table that holds the revision of a group of tables, and where in MLflow the revisions lie.
_REVISIONS = {
    "alembic_version": "store/db_migrations/versions",
    "alembic_version_auth": "server/auth/db/migrations/versions",
}


def upgrade(alias: str) -> None:
    """Bring MLflow's tables in this database to the installed MLflow's revision, if they are not there.

    Uses private functions of MLflow: the lock pins its version, tests/studio/mlflow/test_schema.py tells.
    """
    if is_current(alias):
        return
    # MLflow and SQLAlchemy take seconds to import: only who upgrades pays.
    import sqlalchemy
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
        finally:
            engine.dispose()


def is_current(alias: str) -> bool:
    """Whether both groups of tables are at the revision that the installed MLflow ends with."""
    with connections[alias].cursor() as cursor:
        tables = connections[alias].introspection.table_names(cursor)
        for table, folder in _REVISIONS.items():
            if table not in tables:
                return False
            cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of two constants
            if {row[0] for row in cursor.fetchall()} != {head(folder)}:
                return False
    return True


def head(folder: str) -> str:
    """The last revision in a folder of MLflow's: the one that no other follows. Reads, and imports nothing."""
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None and spec.origin is not None  # a dependency
    texts = [path.read_text() for path in (Path(spec.origin).parent / folder).glob("*.py")]
    revisions = {
        match for text in texts for match in re.findall(r'^revision\b[^=]*= "(\w+)"', text, re.M)
    }
    followed = {
        match
        for text in texts
        for match in re.findall(r'^down_revision\b[^=]*= "(\w+)"', text, re.M)
    }
    (last,) = revisions - followed
    return str(last)
