"""MLflow's own server as a process of Studio: `python -m studio.mlflow.serve`.

It listens on a Unix socket that only Studio's user may open, with MLflow's permission rules on.
"""

from __future__ import annotations

import configparser
import logging
import logging.config
import os
import shutil
import socket
from base64 import urlsafe_b64encode
from pathlib import Path

import psycopg
import uvicorn

from studio.lib import artifacts, heartbeat
from studio.lib.database import sqlalchemy_url
from studio.lib.secrets import derive
from studio.lib.start import read_settings
from studio.mlflow import identity

log = logging.getLogger(__name__)


def main() -> None:
    read_settings()
    from django.conf import settings

    artifacts.make()
    _own_temporary_folder(settings.HOME.root / "passing-through")
    database = sqlalchemy_url(settings.DATABASES["default"])
    flask_key = derive(settings.SECRET_KEY, "mlflow flask").hex()
    _configure(
        database,
        artifacts.destination(),
        flask_key,
        _auth_config(settings.HOME.root, database),
    )
    _seal(settings.SECRET_KEY)
    identity.accept(settings.IDENTITY_KEY)
    logging.config.dictConfig(settings.LOGGING)
    heart = heartbeat.start("reference")
    config = _server()
    config.load()  # before listening: until then a caller is told at once that nobody answers
    _make_default_experiment(settings.DATABASE_URL)
    _Server(config, heart).run(sockets=[private_socket(settings.HOME.reference_socket)])


class _Server(uvicorn.Server):
    """Ends by the signal that it was sent, so that nothing comes after `run`: it says goodbye before."""

    def __init__(self, config: uvicorn.Config, heart: heartbeat.Heartbeat) -> None:
        super().__init__(config)
        self._heart = heart

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._heart.stop()


def _server() -> uvicorn.Config:
    return uvicorn.Config(
        "studio.mlflow.edge:create_app",
        factory=True,
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=60,  # longer than upstream's: an idle connection is closed by who would use it
        # MLflow lets callers from this machine do more: what a client says of its address must not count.
        proxy_headers=False,
    )


def _configure(database: str, destination: str, flask_key: str, auth_config: Path) -> None:
    """Set what MLflow reads from its environment, before its first import."""
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": destination,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",  # users are Studio's: MLflow makes none
        "MLFLOW_AUTH_CONFIG_PATH": str(auth_config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": flask_key,
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",  # Django has checked Host and Origin
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "10",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_CONFIGURE_LOGGING": "false",  # its lines are written as all of Studio's are
        "MLFLOW_MODEL_CATALOG_URI": os.environ.get(
            "MLFLOW_MODEL_CATALOG_URI", ""
        ),  # ask no other host
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    for ambient in ("MLFLOW_TRACKING_URI", "MLFLOW_WORKSPACE", "MLFLOW_TRACKING_TOKEN"):
        os.environ.pop(ambient, None)


# As `SqlAlchemyStore._create_default_experiment` does.
_DEFAULT_EXPERIMENT = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
SELECT 0, 'Default', 'mlflow-artifacts:/0', 'active', at, at FROM (SELECT extract(epoch FROM now()) * 1000 AS at) now
WHERE NOT EXISTS (SELECT FROM experiments) ON CONFLICT DO NOTHING
"""


def _make_default_experiment(url: str) -> None:
    """Make it, where there is none at all. MLflow does so when it first opens its store: for a client whose first
    call is a run in it, which the fast lane answers, that would be too late.
    """
    try:
        with psycopg.connect(url, autocommit=True) as wire:
            wire.execute(_DEFAULT_EXPERIMENT)
    except psycopg.Error as failure:  # then MLflow does it
        log.warning("default experiment not made: %s", type(failure).__name__)


def _own_temporary_folder(folder: Path) -> None:
    """Where MLflow keeps a file on its way to an object store or back, unless TMPDIR says otherwise.

    Below /tmp it may be held in memory, and what a killed process has left there would stay.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if "TMPDIR" not in os.environ:
        folder.mkdir(mode=0o700)
        os.environ["TMPDIR"] = str(folder)


def _seal(secret_key: str) -> None:
    """Have MLflow encrypt what it keeps secret by keys of this Studio, where the operator has set none.

    Its own defaults are a passphrase that everybody knows, and for webhooks a key that a restart forgets.
    """
    webhooks = urlsafe_b64encode(derive(secret_key, "mlflow webhooks")).decode()
    os.environ.setdefault("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", webhooks)
    passphrase = derive(secret_key, "mlflow secrets").hex()
    os.environ.setdefault("MLFLOW_CRYPTO_KEK_PASSPHRASE", passphrase)


def _auth_config(home: Path, database: str) -> Path:
    """Write MLflow's permission settings (0600: they hold the database's password)."""
    config = configparser.ConfigParser()
    config["mlflow"] = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": database.replace("%", "%%"),
        "authorization_function": "studio.mlflow.identity:authorize",
        "workspace_cache_ttl_seconds": "1",
    }
    path = home / "secrets" / "mlflow-auth.ini"
    path.touch(mode=0o600)
    with path.open("w") as file:
        config.write(file)
    return path


def private_socket(path: Path) -> socket.socket:
    """Listen on a Unix socket (0600) at `path`, in place of what a killed process left there."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(2048)
    return listener


if __name__ == "__main__":
    main()
