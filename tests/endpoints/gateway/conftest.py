from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.lib.home import Home
from tests.endpoints.gateway.kit import (
    Database,
    EndpointRow,
    Gateway,
    MakeEndpoint,
    MakeGateway,
    Rows,
    eventually,
    make_tables,
)
from tests.endpoints.gateway.servers import Behaviour, MakeServer, ModelServer, echo


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
    make_tables(home)
    yield database
    database.stop()


@pytest.fixture
def rows(database: Database) -> Iterator[Rows]:
    rows = Rows(database.url)
    yield rows
    rows.connection.close()


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
def make_gateway(home: Home, database: Database) -> Iterator[MakeGateway]:
    """A gateway with limits of its own."""
    made: list[Gateway] = []

    def make(limits: str = "", *, port: int = 0, wait: bool = True) -> Gateway:
        gateway = Gateway(home, limits, port)
        made.append(gateway)
        if wait:
            eventually(lambda: gateway.answers("/healthz", 200), 30)
        return gateway

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture
def make_server(folder: Path) -> Iterator[MakeServer]:
    made: list[ModelServer] = []

    def make(behaviour: Behaviour = echo) -> ModelServer:
        made.append(ModelServer(folder, behaviour))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def make_endpoint(rows: Rows) -> MakeEndpoint:
    """An endpoint with one deployment that takes all traffic, and its ready replicas. The gateway knows it."""

    def make(gateway: Gateway, *servers: ModelServer) -> EndpointRow:
        with rows.told():
            endpoint = rows.endpoint()
            rows.deployment(endpoint, "blue", 100, *(server.address for server in servers))
        eventually(lambda: gateway.knows(endpoint))
        return endpoint

    return make


@pytest.fixture
def nothing_leaks(gateway: Gateway) -> Iterator[None]:
    """Whatever a test did, the gateway still lives and has given back its memory and its connections."""
    before = gateway.files()
    yield
    assert gateway.process.poll() is None, gateway.log.read_text()
    # The client of the tests keeps a few connections; a kept one to each model server ends with the server.
    eventually(lambda: gateway.files() <= before + 5)
