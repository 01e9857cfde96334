from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from gateway_kit import (
    Behaviour,
    Database,
    EndpointRow,
    Gateway,
    ModelServer,
    Rows,
    echo,
    eventually,
    make_tables,
)

from studio.lib.home import Home


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="gw-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def home(folder: Path) -> Home:
    home = Home(folder / "home")
    home.make()
    return home


@pytest.fixture(scope="session")
def database(home: Home) -> Iterator[Database]:
    database = Database(home)
    database.start()
    make_tables(database.url)
    yield database
    database.stop()


@pytest.fixture
def rows(database: Database) -> Iterator[Rows]:
    with psycopg.connect(database.url, autocommit=True) as connection:
        yield Rows(connection)


@pytest.fixture(scope="session")
def shared_gateway(home: Home, database: Database) -> Iterator[Gateway]:
    gateway = Gateway(home)
    eventually(lambda: gateway.answers("/healthz", 200), 30)
    yield gateway
    assert gateway.stop() == 0, gateway.log.read_text()


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """The gateway with its usual limits. All tests share it, as all callers do."""
    assert shared_gateway.process.poll() is None, shared_gateway.log.read_text()
    return shared_gateway


@pytest.fixture
def make_gateway(home: Home, database: Database) -> Iterator[Callable[[str], Gateway]]:
    """A gateway with limits of its own."""
    made = []

    def make(limits: str = "") -> Gateway:
        made.append(Gateway(home, limits))
        eventually(lambda: made[-1].answers("/healthz", 200), 30)
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture
def make_server(folder: Path) -> Iterator[Callable[[Behaviour], ModelServer]]:
    made = []

    def make(behaviour: Behaviour = echo) -> ModelServer:
        made.append(ModelServer(folder, behaviour))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def make_endpoint(rows: Rows) -> Callable[..., EndpointRow]:
    """An endpoint with one deployment that takes all traffic, and its ready replicas. The gateway knows it."""

    def make(gateway: Gateway, *servers: ModelServer) -> EndpointRow:
        with rows.told():
            endpoint = rows.endpoint()
            rows.deployment(endpoint, "blue", 100, *(server.address for server in servers))
        eventually(lambda: gateway.knows(endpoint))
        for server in servers:
            server.requests.clear()
        return endpoint

    return make
