"""STUDIO_HOME: where everything that Studio keeps on this machine lies."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

# A file of STUDIO_ARTIFACTS, where that is a folder: by it the hosts of one Studio know that they share it.
STORE_ID = ".studio-store"

# sockaddr_un holds 107 bytes and the names in the folder need up to 40 of them.
_LONGEST_SOCKET_FOLDER = 66


def default_home() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/mlflow-studio")
    return Path("~/.local/share/mlflow-studio").expanduser()


def not_running(root: Path) -> str:
    """What to tell who asks a Studio that is not there."""
    return (
        f"Studio is not running at STUDIO_HOME={root}. Start it with `make up`; "
        "or, where it runs with a STUDIO_HOME of its own, export the same one here."
    )


@dataclass(frozen=True, slots=True)
class Home:
    """Names of the folders and files below STUDIO_HOME. Making them is the caller's."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def environments(self) -> Path:
        return self.root / "environments"

    @property
    def models(self) -> Path:
        """Copies of deployed models' files, one folder per deployment."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def static(self) -> Path:
        return self.root / "static"

    @property
    def uv_cache(self) -> Path:
        """Beside the environments, so that uv can link files instead of copying them."""
        return self.root / "uv-cache"

    @property
    def processes(self) -> Path:
        """What `up` runs: names, pids and states, as JSON."""
        return self.root / "processes.json"

    @property
    def lock(self) -> Path:
        """Held by the one `up` of this home."""
        return self.root / "up.lock"

    @property
    def unfinished_restore(self) -> Path:
        """There while `manage.py restore` fills this home, and after one that did not come to its end."""
        return self.root / "restore-unfinished.json"

    @property
    def admin_password(self) -> Path:
        return self.root / "secrets" / "admin-password"

    @property
    def sockets(self) -> Path:
        """Unix sockets of this home: below it, or in /tmp when its path is too long for a socket."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_FOLDER:
            return inside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mlflow-studio-{os.geteuid()}-{name}"

    @property
    def reference_socket(self) -> Path:
        return self.sockets / "reference.sock"

    @property
    def postgres_socket(self) -> Path:
        """The folder of PostgreSQL's socket: its own, since it may run under another account."""
        return self.sockets / "postgres"

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    @property
    def id(self) -> str:
        """Tells this home from those of other hosts, which may lie at the same path there."""
        return self.secret("home-id")

    def require_whole(self) -> None:
        """Raises ImproperlyConfigured where a restore has begun and not come to its end: half of it may be missing."""
        if self.unfinished_restore.exists():
            raise ImproperlyConfigured(
                f"A restore into {self.root} was not finished. If none is running, run `manage.py restore` of the same "
                f"backup again; or delete {self.root} to begin anew."
            )

    def make(self) -> None:
        """Make the home and its folders of sockets and secrets, each with private content.

        As root, the accounts that PostgreSQL and models run under may pass through a folder made here.
        """
        mode = 0o711 if os.geteuid() == 0 else 0o700
        private_folder(self.root, mode)
        private_folder(self.sockets, mode)
        private_folder(self.root / "secrets")

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
        """Return the secret kept in a 0600 file of this name, made at the first call.

        Two processes that ask at once get the same one.
        """
        path = self.root / "secrets" / name
        if not path.exists():
            self.make()
            draft = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
            draft.touch(mode=0o600)
            draft.write_text(make())
            try:
                os.link(draft, path)  # fails where another process was first: theirs counts
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text().strip()


def private_folder(path: Path, mode: int = 0o700) -> Path:
    """Make `path` if it is not there. Raises PermissionError if it is someone else's."""
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise PermissionError(f"{path} belongs to another user (uid {owner})")
    return path


def kept_secret(home: Home, name: str) -> str:
    """As `secret`, for settings. Raises ImproperlyConfigured where the home cannot be had."""
    try:
        return home.secret(name)
    except OSError as failure:
        told = failure.strerror or str(failure)
        raise ImproperlyConfigured(
            f"STUDIO_HOME={home.root} cannot be used: {told}. Run as the user whose folder it is, "
            "make it writable for this one, or set STUDIO_HOME to another folder"
        ) from None
