"""MLflow's tables: made and upgraded by MLflow's own Alembic revisions, tracking first, then permissions."""

from __future__ import annotations

from django.db import connections

from studio.lib.database import sqlalchemy_url


def upgrade(alias: str) -> None:
    """Bring MLflow's tables in this database to the installed MLflow's revision. Nothing to do: 0.3 s.

    Uses private functions of MLflow: the lock pins its version, tests/studio/mlflow/test_schema.py tells.
    """
    # MLflow and SQLAlchemy take seconds to import: only who migrates pays.
    import sqlalchemy
    from mlflow.server.auth.db import utils as auth_tables
    from mlflow.store.db import utils as tracking_tables

    url = sqlalchemy_url(connections[alias].settings_dict)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    try:
        tracking_tables._safe_initialize_tables(engine)
        # MLflow's Alembic scripts open the address themselves, so it is handed over with its password.
        auth_tables.migrate_if_needed(engine, "head")
    finally:
        engine.dispose()
