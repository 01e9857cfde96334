"""The stage: an S3 server, a bucket with a prefix that is Studio's, and another bucket that is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from pytest_django import Settings

from studio.lib import s3 as store
from tests.support import s3


@pytest.fixture(scope="session")
def server() -> Iterator[s3.Server]:
    forget()  # an S3 server that another test had
    with s3.server() as found:
        yield found
    forget()


@pytest.fixture
def bucket(server: s3.Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> s3.Server:
    """This process is one of a Studio whose artifacts lie at s3://team/studio."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    settings.ARTIFACTS = server.environment["STUDIO_ARTIFACTS"]
    server.empty()
    return server


@pytest.fixture
def anew() -> Iterator[Callable[[], None]]:
    """Have this process read its environment once more, and again after the test."""

    yield forget
    forget()


def forget() -> None:
    for made in (store.client, store.asker):
        if made.cache_info().currsize:
            made().close()
        made.cache_clear()


@pytest.fixture
def refusing(bucket: s3.Server) -> Iterator[None]:
    """The server knows nobody's key meanwhile."""
    url = f"{bucket.url}/moto-api/reset-auth"
    httpx.post(url, content=b"0")
    yield
    httpx.post(url, content=b"inf")
