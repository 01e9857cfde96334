"""The system account that PostgreSQL runs under where Studio runs as root."""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess

ACCOUNT = "mlflow-studio"


def account(name: str = ACCOUNT) -> pwd.struct_passwd:
    """The account, made if it is not there. Root only.

    One Studio after another, by a lock on /etc: of two `useradd` at once for the same name, each takes a
    user id of its own and the later one replaces what the first has returned.
    """
    try:
        return pwd.getpwnam(name)
    except KeyError:
        folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        return _made(name)
    finally:
        os.close(folder)


def _made(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)  # by another, while this one waited
    except KeyError:
        arguments = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        subprocess.run(["useradd", *arguments, name], check=True, capture_output=True)
        return pwd.getpwnam(name)
