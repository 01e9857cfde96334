"""Writes tests/data/schema-*.sql: a small database as this version of Studio makes it, for later ones to upgrade.

Whoever adds a migration runs, once it is final, `.venv/bin/python -m tests.support.dump`, and adds the file that
it has written. A dump that was never part of what others have is deleted again. A checkout of another version can
be named as an argument: its own migrations and models are used.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from studio.launch.postgres import DATABASE, OWNER, EmbeddedPostgres, program
from studio.lib.database import embedded_url
from studio.lib.home import Home
from tests.support.processes import running, until

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
# Runs in the checkout, with its models: one row of each, and what MLflow would have written.
_FILL = """
from datetime import datetime, timezone
from django.apps import apps
from django.db import connection, models

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
OURS = [model for model in apps.get_models() if model._meta.managed and not model.__module__.startswith("django.")]

def value_of(field):
    if field.is_relation:
        return make(field.related_model)
    if field.choices:
        return field.get_default() or field.choices[0][0]
    if field.has_default():
        return field.get_default()
    if isinstance(field, models.DateTimeField):
        return MOMENT
    if isinstance(field, (models.IntegerField, models.FloatField)):
        return max([1, *(v.limit_value for v in field.validators if hasattr(v, "limit_value") and v.code == "min_value")])
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.JSONField):
        return {}
    return f"some-{field.name}".replace("_", "-")[: field.max_length or 100]

def make(model):
    found = model._default_manager.first()
    if found is None:
        fields = [f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField)]
        found = model(**{f.name: value_of(f) for f in fields if not (f.null and f.primary_key)})
        found.save(force_insert=True)
    return found

with connection.cursor() as cursor:
    for statement in STATEMENTS:
        cursor.execute(statement)
for model in OURS:
    make(model)
"""
_STATEMENTS = [
    "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace) "
    "VALUES (1, 'iris', 'mlflow-artifacts:/1', 'active', 'default')",
    "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id) "
    "SELECT md5(n::text), 'run-' || n, 'FINISHED', n, n + 1, 'active', 'mlflow-artifacts:/1/' || md5(n::text), 1 "
    "FROM generate_series(1, 3) n",
    "INSERT INTO params (key, value, run_uuid) SELECT 'depth', name, run_uuid FROM runs",
    "INSERT INTO tags (key, value, run_uuid) SELECT 'who', name, run_uuid FROM runs",
    "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) "
    "SELECT 'loss', step / 7.0, step, step, false, run_uuid FROM runs, generate_series(1, 3) step",
    "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
    "SELECT 'loss', 3 / 7.0, 3, 3, false, run_uuid FROM runs",
    "INSERT INTO registered_models (name, creation_time, workspace) VALUES ('iris', 1, 'default')",
    "INSERT INTO model_versions (name, version, creation_time, source, run_id, status, workspace) "
    "SELECT 'iris', 1, 1, artifact_uri || '/model', run_uuid, 'READY', 'default' FROM runs WHERE name = 'run-1'",
]
_MIGRATIONS = """
from django.db import connection
from django.db.migrations.loader import MigrationLoader
print(*sorted(f"{app}.{name}" for app, name in MigrationLoader(connection).applied_migrations))
"""


def state(migrations: set[str]) -> str:
    """The name of a state of Studio's own migrations: each application with the number of its last one."""
    last: dict[str, int] = {}
    for app, name in (migration.split(".") for migration in migrations):
        last[app] = max(last.get(app, 0), int(name[:4]))
    return "-".join(f"{app}{number}" for app, number in sorted(last.items()))


def main(checkout: Path) -> Path:
    """Dump what this checkout makes. Returns the file."""
    with tempfile.TemporaryDirectory(prefix="studio-dump-") as folder:
        Path(folder).chmod(0o711)
        home = Home(Path(folder) / "home")
        postgres = EmbeddedPostgres(home)
        postgres.initialise()
        with running(postgres.command()):
            until(postgres.ready, "PostgreSQL")
            postgres.make_database()
            url = embedded_url(
                home.postgres_socket, OWNER, home.secret("postgres-password"), DATABASE
            )
            _manage(checkout, home, url, "migrate", "--verbosity=0")
            _manage(checkout, home, url, "shell", "-c", f"STATEMENTS = {_STATEMENTS!r}\n{_FILL}")
            applied = _manage(checkout, home, url, "shell", "-c", _MIGRATIONS).split()
            path = DATA / f"schema-{state(_own(checkout, applied))}.sql"
            path.write_text(_dump(url))
    return path


def _own(checkout: Path, applied: list[str]) -> set[str]:
    """Studio's own: those that the checkout has files of."""
    folders = {
        path.parent.parent.name
        for pattern in ("*/migrations/0*.py", "studio/*/migrations/0*.py")
        for path in checkout.glob(pattern)
    }
    return {one for one in applied if one.split(".")[0] in folders}


def _manage(checkout: Path, home: Home, url: str, *arguments: str) -> str:
    own = {"STUDIO_HOME": str(home.root), "DATABASE_URL": url, "PYTHONPATH": str(checkout)}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=checkout,
        env=kept | own,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def _dump(url: str) -> str:
    """As statements that any client can run, without what psql alone knows."""
    options = ["--no-owner", "--no-privileges", "--rows-per-insert=100", "--no-comments"]
    done = subprocess.run(
        [str(program("pg_dump")), *options, url], capture_output=True, text=True, check=True
    )
    return re.sub(r"^(--.*|\\(un)?restrict .*)?\n", "", done.stdout, flags=re.M)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT))  # noqa: T201 - a command
