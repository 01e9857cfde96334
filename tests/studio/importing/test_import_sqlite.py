"""An SQLite file of any age is read from a copy, and its artifacts are found wherever they may be read."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base

from registry.models import ModelVersion
from studio.lib import artifacts
from tests.studio.importing.conftest import Import
from tests.studio.importing.rows import all_rows
from tests.studio.importing.test_import import check_files
from tracking.models import Experiment, LatestMetric, LoggedModel, Metric, Run

# Of MLflow 1.9, from before runs had names, metrics steps that were computed, and experiments times.
_OLD = "cfd24bdc0731"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_row_is_the_one_that_it_was(importing: Import, filled: Path) -> None:
    """Traces with their spans among them. Addresses of files differ."""
    importing(filled / "sq" / "mlflow.db")
    moved = ("artifact_uri", "artifact_location", "source", "storage_location")
    ours = all_rows(*moved)
    with sqlite3.connect(filled / "sq" / "mlflow.db") as there:
        for table, rows in ours.items():
            columns = _columns(table, moved)
            names = ", ".join(f'"{name}"' for name in columns)
            found = there.execute(f"SELECT {names} FROM {table}").fetchall()  # noqa: S608 - MLflow's
            if table == "trace_tags":  # one of them says where its files lie
                assert len(found) == len(rows)
                continue
            assert sorted(found, key=repr) == sorted(map(_plain, rows), key=repr), table
    there.close()
    assert len(ours["spans"]) == 1


def _columns(table: str, without: tuple[str, ...]) -> list[str]:
    from studio.importing.tables import read_tables

    return [name for name in read_tables()[table].names if name not in without]


def _plain(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(int(value) if isinstance(value, bool) else value for value in row)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """What MLflow 1.9 wrote, by its own revisions up to then."""
    path = tmp_path / "old" / "mlflow.db"
    path.parent.mkdir()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(f"sqlite:///{path}")
        config.attributes["connection"] = connection
        command.upgrade(config, _OLD)
    engine.dispose()
    run = "a" * 32
    with sqlite3.connect(path) as writing:
        writing.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
            " VALUES (7, 'old', './mlruns/7', 'active')"
        )
        writing.execute(
            "INSERT INTO runs (run_uuid, name, source_type, status, start_time, lifecycle_stage,"
            " artifact_uri, experiment_id, user_id, source_name, entry_point_name, source_version)"
            " VALUES (?, '', 'LOCAL', 'FINISHED', 1, 'active', ?, 7, 'alice', '', '', '')",
            [run, f"./mlruns/7/{run}/artifacts"],
        )
        writing.execute("INSERT INTO tags VALUES ('mlflow.runName', 'first', ?)", [run])
        for step, value in enumerate((0.25, 0.5)):
            writing.execute(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
                " VALUES ('loss', ?, 5, ?, ?, 0)",
                [value, run, step],
            )
    writing.close()
    files = path.parent / "mlruns" / "7" / run / "artifacts"
    files.mkdir(parents=True)
    (files / "model.txt").write_text("old")
    return path


@pytest.mark.filterwarnings("ignore:No path_separator found", "ignore:.*:DeprecationWarning")
def test_one_of_an_older_mlflow_is_brought_up_to_date_as_a_copy(
    importing: Import, old: Path
) -> None:
    before = digest(old), sorted(path.name for path in old.parent.iterdir())
    done = importing(old)
    assert done.code == 0, done.words
    assert (digest(old), sorted(path.name for path in old.parent.iterdir())) == before
    run = Run.objects.get()
    assert (run.experiment_id, run.status, run.user_id) == (7, "FINISHED", "alice")
    assert Metric.objects.count() == 2
    assert LatestMetric.objects.get().value == 0.5
    assert b"".join(artifacts.folder_of(str(run.artifact_uri)).pieces("model.txt")) == b"old"
    assert Experiment.objects.get(pk=7).name == "old"


def test_one_of_a_later_mlflow_is_refused(importing: Import, filled: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.db"
    shutil.copy(filled / "sq" / "mlflow.db", later)
    with sqlite3.connect(later) as writing:
        writing.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    writing.close()
    done = importing(later)
    assert done.code == 1
    assert "later MLflow" in done.words
    assert "ffffffffffff" in done.words


def test_files_that_were_out_of_reach_come_with_the_next_import(
    importing: Import, filled: Path, tmp_path: Path
) -> None:
    """The file alone was copied to here, its artifacts come later and lie elsewhere."""
    alone = tmp_path / "alone" / "mlflow.db"
    alone.parent.mkdir()
    shutil.copy(filled / "sq" / "mlflow.db", alone)
    first = importing(alone)
    assert first.code == 3
    run = Run.objects.get(name="Größe 😀")
    assert run.artifact_uri == f"elsewhere:{filled}/sq/mlruns/1/{run.pk}/artifacts"
    assert "--artifacts" in first.reasons("files of a run")[run.pk]
    assert first.reasons("files of a model version").keys() == {"net v1"}
    shutil.copytree(filled / "sq" / "mlruns", tmp_path / "files")
    second = importing(alone, f"--artifacts={tmp_path / 'files'}")
    assert second.code == 0, second.words
    check_files(filled)
    assert LoggedModel.objects.get().artifact_location.startswith("mlflow-artifacts:/1/models/")
    assert ModelVersion.objects.get(name="net", version=1).source == (
        f"mlflow-artifacts:/1/{run.pk}/artifacts/model"
    )


def test_files_that_a_server_kept_for_the_database_are_found_beside_it(
    importing: Import, filled: Path, tmp_path: Path
) -> None:
    """As `mlflow server` has it by itself: mlartifacts, and addresses without a place."""
    path = tmp_path / "served" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(filled / "sq" / "mlflow.db", path)
    shutil.copytree(filled / "sq" / "mlruns", path.parent / "mlartifacts")
    place = f"{filled}/sq/mlruns/"
    with sqlite3.connect(path) as writing:
        location = "artifact_location"
        for table, column in (
            ("runs", "artifact_uri"),
            ("logged_models", location),
            ("experiments", location),
            ("trace_tags", "value"),
        ):
            writing.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, 'mlflow-artifacts:/')",  # noqa: S608
                [place],
            )
    writing.close()
    assert importing(path).code == 0
    check_files(filled)


def test_an_address_in_another_store_is_kept_and_told(
    importing: Import, filled: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copy(filled / "sq" / "mlflow.db", path)
    with sqlite3.connect(path) as writing:
        writing.execute(
            "UPDATE runs SET artifact_uri = 's3://bucket/' || run_uuid WHERE name = 'in Default'"
        )
        writing.execute("INSERT INTO workspaces (name) VALUES ('team-a')")
        writing.execute(
            "INSERT INTO experiments (experiment_id, name, workspace, lifecycle_stage)"
            " VALUES (9, 'theirs', 'team-a', 'active')"
        )
        writing.execute(
            "INSERT INTO evaluation_datasets (dataset_id, name) VALUES ('d-1', 'questions')"
        )
    writing.close()
    done = importing(path, f"--artifacts={filled / 'sq' / 'mlruns'}")
    assert done.code == 3
    run = Run.objects.get(name="in Default")
    assert run.artifact_uri == f"s3://bucket/{run.pk}"
    assert done.reasons("files of a run") == {run.pk: "they lie in s3://bucket, not in files here"}
    assert done.reasons("experiment") == {"9": "it is in workspace 'team-a', not in 'default'"}
    assert done.reasons("table") == {"evaluation_datasets": "Studio does not import it"}
