"""A stock client logs files to a store that is a folder: told to send them in parts, it sends each whole."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.live import Studio

MB = 1024 * 1024


def test_a_client_that_would_send_in_parts_sends_whole(
    live: Studio, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(5 * MB))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * MB))
    client = MlflowClient(live.url)
    run = client.create_run(client.create_experiment(f"parts-{secrets.token_hex(4)}")).info
    content = secrets.token_bytes(12 * MB)
    (tmp_path / "weights.bin").write_bytes(content)
    client.log_artifact(run.run_id, str(tmp_path / "weights.bin"), "model")
    place = live.home / "artifacts" / run.experiment_id / run.run_id / "artifacts"
    assert [path.name for path in (place / "model").iterdir()] == ["weights.bin"]
    assert (place / "model" / "weights.bin").read_bytes() == content
    (tmp_path / "back").mkdir()
    back = client.download_artifacts(run.run_id, "model/weights.bin", str(tmp_path / "back"))
    assert Path(back).read_bytes() == content


def test_a_folder_takes_no_parts_and_says_so(live: Studio, token: str) -> None:
    """By which a client knows to send the file whole."""
    with live.client(token) as client:
        route = "/api/2.0/mlflow-artifacts/mpu/create/0/x/artifacts"
        answer = client.post(route, json={"path": "x.bin", "num_parts": 2})
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
