"""One thing that is nonsense, or made to do harm, costs itself: nothing ends the import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from studio.importing.sources import reading
from studio.importing.units import Refused
from tests.studio.importing.conftest import Import
from tests.studio.importing.rows import all_files
from tests.studio.importing.test_import_hostile_server import Liar, liar  # noqa: F401 - a fixture
from tests.support.filestore import write_store
from tracking.models import Experiment, Run

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 10}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Loaded, these would end the process or take all memory.
        ("a: " + "[" * 40_000, "nested deeper than 100"),
        (BOMB + "experiment_id: *a8\n", "aliases"),
        ("a: !!bool x\n", "no valid YAML"),
        ("a: !!timestamp x\n", "no valid YAML"),
        ("a: !!int ''\n", "no valid YAML"),
    ],
    ids=["deep", "bomb", "bool", "time", "number"],
)
def test_a_file_that_is_made_to_do_harm_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "meta.yaml").write_text(text)
    with pytest.raises(Refused, match=words):
        reading.meta(tmp_path)


def test_of_a_file_store_all_else_comes(importing: Import, store: Path) -> None:
    folder = write_store(store / "many", runs=5, points=2) / "1"
    folder = folder.rename(store / "71")
    meta = folder / "meta.yaml"
    meta.write_text(meta.read_text().replace("'1'", "'71'"))
    listed, large, latin, long, whole = sorted(c for c in folder.iterdir() if c.is_dir())
    _change(listed, "status: 3", "status: [1]")
    _change(large, "run_name: ", "run_name: !!int 0x" + "f" * 5000 + "\nx: ")
    latin.rename(os.fsdecode(bytes(folder) + b"/\xff\xfe"))
    (long / "artifacts" / "file-0.txt").unlink()
    (long / "artifacts").rmdir()
    far = f"artifact_uri: file:///gone/71/{'x' * 300}/artifacts"
    _change(long, "artifact_uri:", f"{far}\nolder:")
    (store / "72").mkdir()
    wrong = "experiment_id: '72'\nname: wrong\nlifecycle_stage: asleep\n"
    (store / "72" / "meta.yaml").write_text(wrong)
    done = importing(store)
    assert done.code == 3
    found = done.reasons("run")
    [cut] = [found.pop(name) for name in list(found) if name.startswith(f"{long.name} ")]
    assert cut == "artifact_uri was cut to 200 characters"
    assert found.keys() == {listed.name, large.name, "\udcff\udcfe"}
    assert found["\udcff\udcfe"] == "its name holds what PostgreSQL does not store as text"
    assert found[listed.name].startswith("it is none of MLflow's: TypeError")
    assert done.reasons("files of a run").keys() == {long.name}
    assert "the database refuses it" in done.reasons("experiment")["72"]
    experiment = Experiment.objects.get(name="many")
    came = Run.objects.filter(experiment=experiment).values_list("pk", flat=True)
    assert set(came) == {long.name, whole.name}
    assert Run.objects.exclude(experiment=experiment).exists()


def _change(run: Path, text: str, other: str) -> None:
    meta = (run / "meta.yaml").read_text()
    assert text in meta
    (run / "meta.yaml").write_text(meta.replace(text, other))


def test_a_folder_that_cannot_be_listed_is_told(
    importing: Import, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir, closed = os.scandir, store / "models"

    def refuse(path: Any = ".") -> Any:
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done = importing(store)
    assert done.code == 3
    assert done.reasons("registered model") == {
        "all in models": "it cannot be read: Permission denied"
    }
    assert Run.objects.exists()


def test_of_a_server_all_else_comes(importing: Import, liar: Liar) -> None:  # noqa: F811
    files = [
        {"path": "f\ud800", "is_dir": True},
        {"path": "a", "file_size": 4},
        {"path": "a", "is_dir": True},
        {"path": "b", "file_size": "x"},
        {"path": "c", "file_size": 4},
        {"path": "/".join(["d" * 200] * 20), "file_size": 4},
    ]
    names = ["d\0d", "e\ud800e"]

    def change(path: str, run: str, honest: Any) -> Any:
        if path == "artifacts/list":
            if run == "b" * 32:
                return {"files": [5]}
            inside = len(honest["files"]) == 1
            return {"files": [{"path": "a/x", "file_size": 4}] if inside else files}
        if path == "runs/search":
            found = [{"info": {"run_id": name}} for name in names]
            return {"runs": [*found, *honest["runs"]]}
        if path == "registered-models/search":
            return {"registered_models": [{"name": name} for name in [*names, "fine"]]}
        if path == "model-versions/search":
            return {"model_versions": [{"version": "1", "source": 5}]} if run == "" else {}
        return honest

    liar.change = change
    done = importing(liar.url)
    assert done.code == 3
    assert set(Run.objects.values_list("pk", flat=True)) == {"a" * 32, "b" * 32, "c" * 32}
    assert done.reasons("run").keys() == {"../../etc", *names}
    models = done.reasons("registered model")
    assert models.keys() == {*names, "fine"}
    assert models[names[0]] == "its name holds what PostgreSQL does not store as text"
    told = done.reasons("files of a run")
    assert told["b" * 32] == "the server does not list them: its list of files is none"
    assert told["a" * 32 + " b"] == "the server tells a size of it that is none"
    assert told["a" * 32 + " a/x"] == "a file lies where its folder would be"
    assert any("longer than 3000 bytes" in reason for reason in told.values())
    assert set(all_files()) == {f"5/{run * 32}/artifacts/{name}" for run in "ac" for name in "ac"}
