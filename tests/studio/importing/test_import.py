"""What MLflow keeps in a file store or an SQLite file is here after an import, field by field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from registry.models import ModelVersion
from studio.lib import artifacts
from tests.studio.importing import stores
from tests.studio.importing.conftest import Import
from tracking.models import LoggedModel, Run

Here = Callable[[], dict[str, Any]]
SOURCES = ["mlruns", "sq/mlflow.db"]


def there(source: Path) -> dict[str, Any]:
    uri = f"sqlite:///{source}" if source.is_file() else str(source)
    return stores.told(MlflowClient(uri, uri))


def check_files(filled: Path) -> None:
    """The files of the run and of the models are below STUDIO_ARTIFACTS, where Studio opens them, byte for byte."""
    (run,) = Run.objects.filter(name="Größe 😀")
    (model,) = LoggedModel.objects.all()
    first, second = ModelVersion.objects.filter(name="net", version__lt=3).order_by("version")
    logged = {file.relative_to(filled / "files") for file in (filled / "files").rglob("*")}
    for address in (run.artifact_uri, model.artifact_location, second.storage_location):
        folder = artifacts.folder_of(str(address))
        for name in (name for name in logged if (filled / "files" / name).is_file()):
            found = b"".join(folder.pieces(str(name)))
            assert found == (filled / "files" / name).read_bytes()
    assert first.source == f"{run.artifact_uri}/model"
    assert second.source == f"models:/{model.pk}"
    deep = (filled / "files" / "deep" / "er" / "ünï.bin").read_bytes()
    assert b"".join(artifacts.folder_of(str(first.source)).pieces("er/ünï.bin")) == deep


@pytest.mark.parametrize("source", SOURCES)
def test_everything_is_here_as_it_was(
    importing: Import, here: Here, filled: Path, source: str
) -> None:
    done = importing(filled / source)
    assert done.code == 0, done.words
    assert stores.differences(here(), there(filled / source)) == []
    check_files(filled)
