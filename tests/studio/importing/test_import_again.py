"""An import may be tried first, interrupted and repeated: what is here stays, and what is missing comes."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from registry.models import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from studio.importing import writer
from studio.lib.database import embedded_url
from tests.studio.importing.conftest import Import, empty_studio
from tests.studio.importing.rows import all_files, all_rows
from tests.support.filestore import write_store
from tests.support.processes import until
from tests.support.rows import make_experiment, make_run
from tracking.models import Dataset, Experiment, ExperimentTag, Input, Metric, Param, Run, Tag

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("source", ["mlruns", "sq/mlflow.db"])
def test_a_dry_run_counts_what_an_import_brings_and_writes_nothing(
    importing: Import, filled: Path, source: str
) -> None:
    before = all_rows(), all_files()
    tried = importing(filled / source, "--dry-run")
    assert (all_rows(), all_files()) == before
    done = importing(filled / source)
    assert tried.code == done.code == 0
    counted, came = tried.lines[-1]["came"], done.lines[-1]["came"]
    # What stands twice in a source is here once, and what is computed is not counted before.
    assert 0 <= counted.pop("metrics") - came.pop("metrics") <= 1
    assert counted == {name: came[name] for name in counted}
    assert {"runs", "params", "tags", "model_versions", "files", "bytes"} <= counted.keys()


@pytest.mark.parametrize("source", ["mlruns", "sq/mlflow.db"])
def test_a_second_import_changes_nothing(importing: Import, filled: Path, source: str) -> None:
    importing(filled / source)
    before = all_rows(), all_files()
    again = importing(filled / source)
    assert (all_rows(), all_files()) == before
    assert again.code == 0
    assert again.lines[-1]["came"] == {}
    assert again.lines[-1]["already here"]["run"] == Run.objects.count()


def test_what_people_have_changed_meanwhile_is_left_as_it_is(
    importing: Import, filled: Path
) -> None:
    importing(filled / "sq" / "mlflow.db")
    run = Run.objects.get(name="Größe 😀")
    Param.objects.filter(run=run, key="lr").update(value="changed")
    Tag.objects.filter(run=run, key="who").delete()
    Run.objects.filter(pk=run.pk).update(lifecycle_stage="deleted")
    Experiment.objects.filter(name="churn").update(name="renamed")
    before = all_rows(), all_files()
    importing(filled / "sq" / "mlflow.db")
    assert (all_rows(), all_files()) == before


def test_after_kill_9_whole_runs_are_here_and_the_next_import_brings_the_rest(
    importing: Import, tmp_path: Path
) -> None:
    store = write_store(tmp_path, runs=1200, points=20)
    process = _start(store)
    try:
        until(Run.objects.count, "the first runs are here", 60)
        process.kill()
    finally:
        process.kill()
        process.wait(20)
    # PostgreSQL may need a moment to notice: the next import waits for it.
    done = importing(store)
    had = done.lines[-1]["already here"]["run"]
    assert 0 < had < 1200
    assert done.code == 0
    assert done.lines[-1]["came"]["runs"] == 1200 - had
    assert Metric.objects.count() == 1200 * 20
    interrupted = all_rows(), all_files()
    empty_studio()
    importing(store)
    assert (all_rows(), all_files()) == interrupted


def _start(store: Path) -> subprocess.Popen[bytes]:
    """The command as a person starts it, into the test's database."""
    given = connection.settings_dict
    url = embedded_url(Path(given["HOST"]), given["USER"], given["PASSWORD"], quote(given["NAME"]))
    return subprocess.Popen(
        [sys.executable, "manage.py", "import", str(store)],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url, "STUDIO_ARTIFACTS": str(settings.ARTIFACTS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_run_of_a_killed_import_is_not_here_without_all_that_belongs_to_it(
    importing: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the moment: here the one between the points and what is computed from them."""
    store = write_store(tmp_path, runs=3, points=20)
    monkeypatch.setattr(writer, "_LATEST", "SELECT 1 / 0")
    done = importing(store)
    assert done.code == 3
    assert Run.objects.count() == Metric.objects.count() == 0
    monkeypatch.undo()
    assert importing(store).code == 0
    assert Run.objects.count() == 3


def test_an_experiment_whose_id_is_taken_gets_another_and_is_found_again(
    importing: Import, filled: Path
) -> None:
    mine = make_experiment("mine", experiment_id=1)
    kept = make_run(mine)
    done = importing(filled / "sq" / "mlflow.db")
    assert done.code == 0
    churn = Experiment.objects.get(name="churn")
    assert churn.pk not in (0, 1)
    assert churn.artifact_location == f"mlflow-artifacts:/{churn.pk}"
    assert list(Run.objects.filter(experiment=mine)) == [kept]
    (note,) = [line for line in done.lines if line["what"] == "note"]
    assert note["reason"] == f"its id is another's here: it became {churn.pk}"
    Experiment.objects.filter(pk=churn.pk).update(name="a better name")
    before = all_rows()
    assert importing(filled / "sq" / "mlflow.db").lines[-1]["came"] == {}
    assert all_rows() == before


def test_an_experiment_of_the_same_name_takes_the_runs(importing: Import, filled: Path) -> None:
    mine = make_experiment("churn", experiment_id=17)
    kept = make_run(mine)
    wine = {"dataset_source_type": "http", "dataset_source": "{}", "dataset_uuid": "of-this-studio"}
    Dataset.objects.create(experiment=mine, name="wine", digest="abc123", **wine)
    done = importing(filled / "sq" / "mlflow.db")
    assert done.code == 0
    assert Run.objects.filter(experiment=mine).count() == 3
    assert Run.objects.filter(pk=kept.pk).exists()
    trained = Run.objects.get(name="Größe 😀")
    assert trained.artifact_uri == f"mlflow-artifacts:/17/{trained.pk}/artifacts"
    assert Input.objects.get(destination_type="RUN").source_id == "of-this-studio"
    notes = [line["reason"] for line in done.lines if line["what"] == "note"]
    assert notes == ["merged into experiment 17 of the same name"]


def test_the_next_experiment_that_anybody_makes_has_an_id_that_is_free(
    importing: Import, filled: Path
) -> None:
    importing(filled / "sq" / "mlflow.db")
    assert make_experiment("next").pk == 3


def test_two_old_stores_whose_experiments_have_one_id_stay_apart(
    importing: Import, tmp_path: Path
) -> None:
    """Old MLflows note no time of creation: an id alone does not tell an experiment."""
    make_experiment("mine", experiment_id=1)
    stores = [write_store(tmp_path / name, runs=1, points=2) for name in ("red", "blue")]
    for store in stores:
        meta = store / "1" / "meta.yaml"
        lines = [line for line in meta.read_text().splitlines() if "_time" not in line]
        text = "\n".join(lines).replace("name: many", f"name: {store.parent.name}")
        meta.write_text(text)
        [run] = [child for child in (store / "1").iterdir() if child.is_dir()]
        other = run.with_name(uuid.uuid4().hex)
        run.rename(other)
        own = other / "meta.yaml"
        own.write_text(own.read_text().replace(run.name, other.name))
        assert importing(store).code == 0
    for name in ("red", "blue"):
        assert Run.objects.filter(experiment__name=name).count() == 1
    Experiment.objects.filter(name="red").update(name="renamed")
    before = all_rows()
    assert importing(stores[0]).lines[-1]["came"] == {}
    assert all_rows() == before


def test_tags_and_aliases_that_people_have_removed_do_not_come_back(
    importing: Import, filled: Path
) -> None:
    importing(filled / "sq" / "mlflow.db")
    gone = [
        rows.objects.all()
        for rows in (ExperimentTag, RegisteredModelTag, RegisteredModelAlias, ModelVersionTag)
    ]
    for rows in gone:
        assert rows.exists()
        rows.all().delete()
    importing(filled / "sq" / "mlflow.db")
    assert not any(rows.all().exists() for rows in gone)
    # A version that is not here comes with what points to it.
    ModelVersion.objects.filter(name="net", version=2).delete()
    assert importing(filled / "sq" / "mlflow.db").code == 0
    assert list(RegisteredModelAlias.objects.values_list("alias", "version")) == [("champion", 2)]
    assert RegisteredModelTag.objects.filter(name="net").exists()
    assert not ExperimentTag.objects.exists()
