"""Where Studio runs as root, its children run under accounts of their own: numbers without a name.

They come from 2,100,000,000 to 2,139,999,999. Nothing else gives these out: users and the dynamic accounts of
systemd end at 65,535, subordinate ids and containers at 1,879,048,191, what SSSD maps for directories at
2,000,200,000; from 2,147,352,576 on systemd has its own use for them. The path of STUDIO_HOME chooses one of
sixteen parts of it, so that several Studios on a machine do not meet as a rule.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from endpoints import interpreters
from endpoints.agent import spawning

log = logging.getLogger(__name__)

FIRST, LAST = 2_100_000_000, 2_139_999_999
_PARTS, _PART = 16, 2_500_000
_REPLICAS = 1_000_000  # of a part; the rest is for templates
_PATIENCE = 20.0  # seconds
# What a child passes through below STUDIO_HOME. Nothing else there is open to it.
_PASSABLE = ("environments", "models", "replicas")
_TRY = "import model_server, os, sys; [os.stat(f'{place}/.') for place in sys.argv[1:]]"

_SHORT = "Models run with the rights of root, not under accounts of their own"

_unreached: set[Path] = set()  # interpreters that others cannot run


@dataclass(frozen=True, slots=True)
class Account:
    """Who a child runs as. Its files are its own; of Studio's it reads what is given to its group."""

    uid: int
    gid: int

    def options(self) -> dict[str, Any]:
        """For Popen: no groups beside its own, and files that nobody else reads."""
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def command(self, command: Sequence[str]) -> Sequence[str]:
        """The command so that no program with the setuid bit gives it rights, where the machine can say so."""
        setpriv = shutil.which("setpriv")
        return [setpriv, "--no-new-privs", "--", *command] if setpriv else command

    def own(self, folder: Path) -> None:
        """Give it a folder, empty as yet, that it alone may enter."""
        folder.chmod(0o700)
        os.chown(folder, self.uid, self.gid)

    def let_read(self, folder: Path) -> None:
        """Let its group read all of a folder, which stays Studio's. A group that was let before is no longer."""
        for place, _, names in os.walk(folder):
            for name in names:
                self._show(os.path.join(place, name), 0o640)  # noqa: PTH118 - of many files
            self._show(place, 0o750)

    def _show(self, path: str, mode: int) -> None:
        os.chown(path, 0, self.gid, follow_symlinks=False)
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            os.chmod(path, mode)  # noqa: PTH101 - of many files


def of_replica(replica: int, key: str, python: Path) -> Account | None:
    """The account of a replica that starts by itself, of the environment's group as those that are forked.

    A model's group so stays as long as its environment: others that serve it go on reading.
    None: it has to run as Studio's user, since that is not root or other accounts cannot run `python`.
    """
    if not reachable(python):
        return None
    return Account(_first() + replica % _REPLICAS, _number(key))


def of_template(key: str, python: Path) -> Account | None:
    """The account of an environment's template and of the replicas that it forks. None as above."""
    if not reachable(python):
        return None
    return Account(_number(key), _number(key))


def of_process(pid: int) -> Account | None:
    """The account that a process runs under. None: it is not one of these, or there is no such process."""
    try:
        process = psutil.Process(pid)
        uid, gid = process.uids().real, process.gids().real
    except psutil.NoSuchProcess:
        return None
    return Account(uid, gid) if FIRST <= uid <= LAST else None


def prepare() -> None:
    """Close what is Studio's below STUDIO_HOME to such accounts, and see at once whether they can be used."""
    if os.geteuid() != 0:
        return
    root = Path(settings.HOME.root)
    passable = {root / name for name in _PASSABLE} | {Path(settings.HOME.sockets)}
    closed = {settings.HOME.logs, settings.HOME.uv_cache, settings.HOME.artifacts}
    for place in passable | closed:  # before others make them, and open
        place.mkdir(parents=True, exist_ok=True)
    for place in {*root.iterdir(), *passable}:
        found = place.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == 0:
            place.chmod(0o711 if place in passable else 0o700)
    python = interpreters.find(interpreters.own()[0])
    if python is not None:
        reachable(python)


def warning() -> str:
    """That models run as root although they should not, for everybody to see. Empty: they do not."""
    return f"{_SHORT}. The agent's log says why, and what to do." if _unreached else ""


@cache
def reachable(python: Path) -> bool:
    """Whether an account of these can run this interpreter and get at what a model server needs. It is tried."""
    if os.geteuid() != 0:
        return False
    probe = Account(_first() + _PART - 1, _first() + _PART - 1)
    places = [Path(settings.HOME.root) / name for name in _PASSABLE] + [settings.HOME.sockets]
    command = [str(python), "-c", _TRY, *map(str, places)]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env=spawning.environment(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            **probe.options(),
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as failure:
        return _refuse(python, places, str(failure))
    if done.returncode == 0:
        return True
    return _refuse(python, places, done.stderr.strip().rpartition("\n")[2] or "it does not run")


def _refuse(python: Path, places: list[Path], why: str) -> bool:
    closed = next(filter(None, map(_closed, [python, spawning.RUNTIME, *places])), None)
    told = f"{closed} is closed to other accounts" if closed else why
    _unreached.add(python)
    log.warning(
        "%s: %s. Put Studio, its STUDIO_HOME and Python where every account may pass, or run Studio as "
        "another user; then start it again. python=%s",
        _SHORT,
        told,
        python,
    )
    return False


def _closed(path: Path) -> Path | None:
    """The first folder on the way to a file, or to where it leads, that others may not pass through."""
    for way in (path, path.resolve()):
        for folder in reversed(way.parents):
            if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
                return folder
    return None


def _first() -> int:
    digest = hashlib.sha256(os.fsencode(settings.HOME.root)).digest()
    return FIRST + digest[0] % _PARTS * _PART


def _number(key: str) -> int:
    """Of an environment: its template's, and the group of all that serve its models."""
    digest = hashlib.sha256(key.encode()).digest()
    return _first() + _REPLICAS + int.from_bytes(digest[:8]) % (_PART - _REPLICAS)


def hand_over(account: Account | None, model: Path, *folders: Path) -> None:
    """Give a child what it needs of Studio's before it starts: its own folders, and its model to read."""
    if account is None:
        return
    account.let_read(model)
    for folder in folders:
        account.own(folder)
