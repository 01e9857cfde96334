"""File stores as MLflow writes them, by the thousand: MLflow itself would take minutes."""

from __future__ import annotations

import math
import uuid
from pathlib import Path

_START = 1_700_000_000_000  # milliseconds


def write_store(folder: Path, *, runs: int, points: int, metrics: int = 2, files: int = 1) -> Path:
    """A store of one experiment. Each run has that many points in all, 5 params, 3 tags and small files."""
    root = folder / "mlruns"
    experiment = root / "1"
    experiment.mkdir(parents=True)
    (experiment / "meta.yaml").write_text(
        f"artifact_location: {experiment.as_uri()}\ncreation_time: {_START}\nexperiment_id: '1'\n"
        f"last_update_time: {_START}\nlifecycle_stage: active\nname: many\n"
    )
    for number in range(runs):
        _write_run(experiment, number, points // metrics, metrics, files)
    return root


def _write_run(experiment: Path, number: int, points: int, metrics: int, files: int) -> None:
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"run {number}").hex
    run = experiment / name
    for folder in ("metrics", "params", "tags", "artifacts"):
        (run / folder).mkdir(parents=True)
    (run / "meta.yaml").write_text(
        f"artifact_uri: {(run / 'artifacts').as_uri()}\nend_time: {_START + number + 500}\n"
        f"entry_point_name: ''\nexperiment_id: '1'\nlifecycle_stage: active\nrun_id: {name}\n"
        f"run_name: run-{number}\nrun_uuid: {name}\nsource_name: ''\nsource_type: 4\n"
        f"source_version: ''\nstart_time: {_START + number}\nstatus: 3\ntags: []\nuser_id: alice\n"
    )
    for place in range(metrics):
        lines = [
            f"{_START + step} {math.sin(number + step + place)} {step}\n" for step in range(points)
        ]
        (run / "metrics" / f"metric-{place}").write_text("".join(lines))
    for place in range(5):
        (run / "params" / f"param-{place}").write_text(str(number * place))
    for key, value in (
        ("mlflow.runName", f"run-{number}"),
        ("mlflow.user", "alice"),
        ("kind", "x"),
    ):
        (run / "tags" / key).write_text(value)
    for place in range(files):
        (run / "artifacts" / f"file-{place}.txt").write_text(f"{number} {place}\n" * 20)
