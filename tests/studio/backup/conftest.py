"""A store with a few artifacts, and the test database as one that the administrator has brought."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from studio.backup.folder import Folder
from studio.backup.take import take
from studio.lib.database import embedded_url
from tests.studio.backup.kit import Lines
from tests.support.disks import may_mount, mounted

Take = Callable[..., Folder]


@pytest.fixture(autouse=True)
def no_rows_left(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """What a test has committed, since a backup sees nothing else, in the tables that Django does not empty."""
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and marker.kwargs.get("transaction"):
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute("TRUNCATE experiments, registered_models CASCADE")


@pytest.fixture
def database_url(db: None, settings: Settings) -> str:
    given = connection.settings_dict
    folder = settings.HOME.postgres_socket
    return embedded_url(folder, given["USER"], given["PASSWORD"], given["NAME"])


@pytest.fixture
def store(settings: Settings, database_url: str, tmp_path: Path) -> Path:
    """The artifacts of a Studio that keeps its rows in the test database."""
    settings.POSTGRES_EMBEDDED, settings.DATABASE_URL = False, database_url
    settings.ARTIFACTS = store = tmp_path / "store"
    for path in ("1/run/plot.png", "1/run/model/MLmodel", "2/run/größe & <b>.txt"):
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text(f"content of {path}")
    return store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where backups go."""
    return tmp_path / "backups"


@pytest.fixture
def said() -> Lines:
    return Lines()


@pytest.fixture
def back_up(store: Path, place: Path, said: Lines) -> Take:
    def back_up(*, database_only: bool = False) -> Folder:
        return take(place, database_only=database_only, say=said)

    return back_up


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small filesystem of its own. Its size may be followed by further options."""
    with ExitStack() as made:

        def make(size: str) -> Path:
            target = tmp_path / "disk"
            target.mkdir()
            if shutil.which("mount") is None or not may_mount(target):
                pytest.skip("only root may mount a small disk, and needs the program mount")
            made.enter_context(mounted(target, size))
            return target

        yield make
