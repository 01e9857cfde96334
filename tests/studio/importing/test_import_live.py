"""What was imported into a Studio that runs is opened by it, and by those who may."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from tests.support.attacker import user_on
from tests.support.filestore import write_store
from tests.support.live import Studio


def test_a_running_studio_shows_what_has_come_to_administrators_alone(
    live: Studio, token: str
) -> None:
    store = write_store(Path(mkdtemp(prefix="studio-store-")), runs=3, points=4)
    said = live.manage("import", str(store))
    assert "Nothing was left out." in said
    assert "administrators'" in said
    run = next(path.name for path in (store / "1").iterdir() if path.is_dir())
    place = f"/api/2.0/mlflow/runs/get?run_id={run}"
    file = f"/get-artifact?run_id={run}&path=file-0.txt"
    with live.client(token) as administrator:
        found = administrator.get(place).json()["run"]
        assert found["info"]["run_name"] in administrator.get(f"/runs/{run}/").text
        assert {one["key"] for one in found["data"]["metrics"]} == {"metric-0", "metric-1"}
        answer = administrator.get(file)
        assert answer.content == (store / "1" / run / "artifacts" / "file-0.txt").read_bytes()
        made = administrator.post("/api/2.0/mlflow/experiments/create", json={"name": "after it"})
        assert int(made.json()["experiment_id"]) > int(found["info"]["experiment_id"])
    with live.client(user_on(live, "import-stranger")) as stranger:
        assert stranger.get(place).status_code == 403
        assert stranger.get(file).status_code == 403
        assert stranger.get(f"/runs/{run}/").status_code == 404
