"""What another MLflow server holds is here after an import, and nothing of that server is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.studio.importing import stores
from tests.studio.importing.conftest import Import, Served
from tests.studio.importing.test_import import check_files

Here = Callable[[], dict[str, Any]]


@pytest.fixture
def signed_in(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", served.username)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", served.password)


def test_what_a_server_tells_is_here_as_it_was_and_a_second_import_changes_nothing(
    importing: Import, here: Here, served: Served, filled: Path, signed_in: None
) -> None:
    done = importing(served.url)
    uri = f"sqlite:///{filled}/sq/mlflow.db"
    there = stores.told(MlflowClient(uri, uri))
    # A server does not give these, and the report says so.
    traces = there.pop("traces")
    found = here()
    assert found.pop("traces") == {}
    assert stores.differences(found, there) == []
    assert len(traces) == 1
    assert done.code == 3
    assert list(done.reasons("trace").values()) == ["traces of a server do not come"]
    assert [line["kind"] for line in done.lines if line["what"] == "left out"] == ["trace"]
    check_files(filled)
    again = importing(served.url)
    assert again.lines[-1]["came"] == {}
    assert stores.differences(here() | {"traces": {}}, there | {"traces": {}}) == []


def test_who_is_not_let_in_is_told_what_to_set(importing: Import, served: Served) -> None:
    done = importing(served.url)
    assert done.code == 1
    assert "MLFLOW_TRACKING_TOKEN" in done.words
