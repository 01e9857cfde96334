"""What is broken or hostile in a source is left out and told by name. The rest comes."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from django.conf import settings

from registry.models import ModelVersion, RegisteredModelAlias
from studio.lib import artifacts
from studio.lib.errors import NotFound
from tests.studio.importing.conftest import Import
from tests.studio.importing.rows import all_files, all_rows
from tests.support.filestore import write_store
from tracking.models import Experiment, LatestMetric, Metric, Param, Run, Tag

SECRET = "what nobody but root may read"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of this machine that no source may have read."""
    path = tmp_path / "secrets" / "artifacts" / "shadow"
    path.parent.mkdir(parents=True)
    path.write_text(SECRET)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A store of ten runs. Each test breaks some and leaves the others whole."""
    store = write_store(tmp_path, runs=10, points=10)
    return sorted(child for child in (store / "1").iterdir() if child.is_dir())


def no_secret_is_here() -> None:
    rows = repr(all_rows())
    assert SECRET not in rows
    root = Path(settings.ARTIFACTS)
    assert not any(SECRET in path.read_text(errors="replace") for path in root.rglob("*.txt"))
    assert not any(path.is_symlink() or path.name == "shadow" for path in root.rglob("*"))


def test_runs_that_cannot_be_read_are_told_and_the_others_come(
    importing: Import, runs: list[Path], secret: Path
) -> None:
    broken, other, gone, code, pipe, link, huge, status = runs[:8]
    (broken / "meta.yaml").write_text("run_id: [")
    (other / "meta.yaml").write_text((broken.parent / runs[9].name / "meta.yaml").read_text())
    (gone / "meta.yaml").unlink()
    (code / "meta.yaml").write_text(f"!!python/object/apply:os.mkdir ['{secret.parent}/owned']")
    (pipe / "meta.yaml").unlink()
    os.mkfifo(pipe / "meta.yaml")
    (link / "meta.yaml").unlink()
    (link / "meta.yaml").symlink_to(secret)
    (huge / "meta.yaml").write_text("a" * 2_000_000)
    meta = (status / "meta.yaml").read_text()
    (status / "meta.yaml").write_text(meta.replace("status: 3", "status: 77"))
    (runs[0].parent / "elsewhere").symlink_to(secret.parent.parent)
    done = importing(runs[0].parents[1])
    assert done.code == 3
    found = done.reasons("run")
    assert found.keys() == {path.name for path in runs[:8]} | {"elsewhere"}
    assert "no valid YAML" in found[broken.name]
    assert "not named like it" in found[other.name]
    assert "No such file" in found[gone.name]
    assert "no valid YAML" in found[code.name]
    assert "no ordinary file" in found[pipe.name]
    assert "cannot be read" in found[link.name]
    assert "larger than" in found[huge.name]
    assert "database refuses" in found[status.name]
    assert "links are not followed" in found["elsewhere"]
    assert not (secret.parent / "owned").exists()
    assert set(Run.objects.values_list("pk", flat=True)) == {path.name for path in runs[8:]}
    assert Metric.objects.count() == 20
    no_secret_is_here()


def test_values_that_cannot_be_kept_are_told_and_the_run_comes(
    importing: Import, runs: list[Path], secret: Path
) -> None:
    run = runs[0]
    (run / "metrics" / "metric-0").write_text(
        "1700000000000 0.5 1\nnonsense\n\n1700000000001 abc 2\n1e3 1 1\n1700000000002 nan 3\n"
        "99999999999999999999 1 1\n1700000000003 0.25 2 wine abc\n1700000000004 7"
    )
    (run / "params" / "long").write_text("x" * 9000)
    (run / "params" / "zero").write_text("a\0b")
    (run / "params" / "latin").write_bytes(b"\xff\xfe")
    (run / "params" / "linked").symlink_to(secret)
    (run / "params" / ("k" * 255)).write_text("its name is too long for MLflow")
    (run / "tags" / "folder" / "deep").mkdir(parents=True)
    (run / "tags" / "folder" / "deep" / "er").write_text("x")
    done = importing(run.parents[1])
    assert done.code == 3
    assert Run.objects.count() == 10
    params = dict(Param.objects.filter(run_id=run.name).values_list("key", "value"))
    assert params.keys() == {"long"} | {f"param-{place}" for place in range(5)}
    assert params["long"] == "x" * 8000
    assert Tag.objects.get(run_id=run.name, key="folder/deep/er").value == "x"
    points = Metric.objects.filter(run_id=run.name, key="metric-0").order_by("timestamp")
    assert list(points.values_list("value", "step", "is_nan")) == [
        (0.5, 1, False), (0.0, 3, True), (0.25, 2, False), (7.0, 0, False),
    ]  # fmt: skip
    assert LatestMetric.objects.get(run_id=run.name, key="metric-0").is_nan
    told = done.reasons("param")
    assert told[f"{run.name} long"] == "value was cut to 8000 characters"
    assert "NUL" in told[f"{run.name} zero"]
    assert "UTF-8" in told[f"{run.name} latin"]
    assert "links are not followed" in told[f"{run.name} linked"]
    assert told[f"{run.name} {'k' * 250}"] == "key is longer than 250 characters"
    assert len(told) == 5
    lines = [line for line in done.lines if line.get("kind") == "metric"]
    assert [line["reason"] for line in lines] == [
        "a time or step is too large",
        "lines that do not parse",
    ]
    assert lines[1]["detail"].startswith("4 of its lines")
    no_secret_is_here()


def test_files_that_lead_out_are_told_and_the_others_come(
    importing: Import, runs: list[Path], secret: Path
) -> None:
    folder = runs[0] / "artifacts"
    (folder / "link").symlink_to(secret)
    (folder / "folder").symlink_to(secret.parent)
    os.mkfifo(folder / "pipe")
    (folder / "back\\slash").write_text("x")
    Path(os.fsdecode(bytes(folder) + b"/\xff\xfe")).write_text("x")
    (folder / "fine" / "..." / "x").mkdir(parents=True)
    (folder / "fine" / "..." / "x" / "y").write_text("z")
    # A run's folder of files is a link, and another's address is one of this machine.
    (runs[1] / "artifacts" / "file-0.txt").unlink()
    (runs[1] / "artifacts").rmdir()
    (runs[1] / "artifacts").symlink_to(secret.parent)
    (runs[2] / "artifacts" / "file-0.txt").unlink()
    (runs[2] / "artifacts").rmdir()
    meta = (runs[2] / "meta.yaml").read_text()
    told = f"artifact_uri: {secret.parent.as_uri()}"
    (runs[2] / "meta.yaml").write_text("\n".join([told, *meta.splitlines()[1:]]))
    done = importing(runs[0].parents[1])
    assert done.code == 3
    assert Run.objects.count() == 10
    no_secret_is_here()
    found = done.reasons("files of a run")
    assert {name.partition(" ")[2] for name in found if name.startswith(runs[0].name)} == {
        "link", "folder", "pipe", "back\\slash", "\udcff\udcfe",
    }  # fmt: skip
    assert {name.partition(" ")[0] for name in found} == {path.name for path in runs[:3]}
    names = all_files().keys()
    assert f"1/{runs[0].name}/artifacts/fine/.../x/y" in names
    for run in Run.objects.filter(pk__in=[runs[1].name, runs[2].name]):
        assert str(run.artifact_uri).startswith("elsewhere:")
        with pytest.raises(NotFound):
            artifacts.folder_of(str(run.artifact_uri))


def test_experiments_and_models_that_cannot_be_read_are_told(
    importing: Import, store: Path, secret: Path
) -> None:
    for name, text in {
        "77": "experiment_id: '78'\nname: other\n",
        "79": "experiment_id: '79'\nname: [a, b]\n",
        "80": "experiment_id: '80'\nname: churn\n",
    }.items():
        (store / name).mkdir()
        (store / name / "meta.yaml").write_text(text)
    (store / "81").symlink_to(secret.parent)
    net = store / "models" / "net"
    (net / "version-1" / "meta.yaml").write_text("version: 2\nname: net\n")
    (net / "aliases" / "broken").write_text("newest")
    (net / "aliases" / "nowhere").write_text("99")
    done = importing(store)
    assert done.code == 3
    assert done.reasons("experiment").keys() == {"77", "79", "81"}
    assert done.reasons("experiment")["77"].endswith("; nothing in it comes")
    assert not Experiment.objects.filter(name="other").exists()
    notes = [line["reason"] for line in done.lines if line["what"] == "note"]
    assert any(note.startswith("merged into experiment") for note in notes)
    versions = ModelVersion.objects.filter(name="net")
    assert sorted(versions.values_list("version", flat=True)) == [2, 3]
    # `old` points to the version that could not come.
    assert list(RegisteredModelAlias.objects.values_list("alias", flat=True)) == ["champion"]
    assert done.reasons("alias").keys() == {"net@broken", "net@nowhere", "net@old"}


def test_a_source_that_is_none_is_refused_in_one_line(importing: Import, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE people (name)").connection.close()
    (tmp_path / "empty").mkdir()
    for name, words in {
        "nothing": "There is nothing at",
        "text": "cannot be read as an SQLite file",
        "other.db": "no database of MLflow's",
        "empty": "holds no experiments",
    }.items():
        done = importing(tmp_path / name)
        assert done.code == 1
        assert words in done.words
    assert importing(tmp_path / "empty", "--artifacts=/nowhere").code == 1
