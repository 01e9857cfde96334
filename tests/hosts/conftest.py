"""Two hosts behind one nginx, once for the tests of this folder, which stop and start parts of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hosts import Hosts, hosts


@pytest.fixture(scope="session")
def two() -> Iterator[Hosts]:
    with hosts() as running:
        yield running


@pytest.fixture(scope="session")
def token(two: Hosts) -> str:
    """An administrator's token, made on the second host."""
    done = two.second.manage("token", "--user", "admin", "--name", "tests")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
