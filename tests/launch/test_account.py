"""The account of the embedded PostgreSQL is one, however many Studios start first at the same time."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from studio.launch.account import account
sys.stdin.read()
print(account(sys.argv[1]).pw_uid)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
def test_made_by_many_at_once_it_is_one() -> None:
    name = f"studio-test-{secrets.token_hex(4)}"
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    try:
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.close()  # now, all of them
            maker.stdin = None
        told = {maker.communicate(timeout=30)[0].strip() for maker in makers}
        assert told == {str(pwd.getpwnam(name).pw_uid)}
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)
