"""`manage.py status`: for people a page, for programs JSON, and an exit code for both."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from studio.lib.processes import Identity
from tests.support.live import ROOT, Studio, environment
from tests.support.processes import free_port


def status(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "status", *more],
        cwd=ROOT,
        env=environment(home, free_port(), free_port()),
        capture_output=True,
        text=True,
        check=False,
    )


def test_people_see_at_a_glance_what_runs_and_that_it_is_well(live: Studio) -> None:
    text = live.manage("status")
    head, _, *lines = text.splitlines()
    assert head == "Studio runs and is well."
    told = dict(line.split(maxsplit=1) for line in lines[: lines.index("")])
    assert (told["web"], told["scoring"]) == (live.url, live.scoring_url)
    assert told["home"] == str(live.home)
    assert re.search(r"^database +embedded, postgresql://studio@/studio in /", text, re.MULTILINE)
    assert re.search(r"^redis +embedded, unix:///", text, re.MULTILINE)
    assert re.search(r"^versions +Studio \S+, MLflow \S+, Django \S+, Python \S+$", text, re.M)
    for name in ("postgres", "redis", "reference", "web", "gateway", "agent", "worker", "beat"):
        row = re.search(rf"^{name} +running +(\d+) +(\d+ (?:d|h|min|s)).* +(\d+) MB", text, re.M)
        assert row, text
        assert psutil.pid_exists(int(row[1]))
        assert 1 < int(row[3]) < 2000
    total = re.search(r"^all +(\d+) MB$", text, re.MULTILINE)
    assert total
    assert int(total[1]) > 300


def test_no_password_is_shown_to_people(live: Studio) -> None:
    told = json.loads(live.manage("status", "--json"))
    shown = live.manage("status")
    for url in (told["database_url"], told["redis_url"]):
        secret = url.split("@")[0].rpartition(":")[2]
        assert len(secret) > 20
        assert secret not in shown


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_studio_that_does_not_run_is_told_by_the_exit_code(
    tmp_path: Path, more: list[str]
) -> None:
    done = status(tmp_path, *more)
    assert done.returncode == 1
    assert done.stderr == ""
    if more:
        assert json.loads(done.stdout)["processes"] == []
    else:
        assert done.stdout.startswith("Studio is not running. Start it with `make up`.\n")
        assert f"home       {tmp_path}" in done.stdout


def test_to_ask_makes_no_home(tmp_path: Path) -> None:
    done = status(tmp_path / "home")
    assert done.returncode == 1
    assert "Studio is not running at STUDIO_HOME=" in done.stderr
    assert not (tmp_path / "home").exists()


def test_what_runs_and_is_not_well_is_told_and_dead_processes_are_named(tmp_path: Path) -> None:
    """This test's process stands for web, which does not answer."""
    here, own = psutil.Process(), Identity.of(os.getpid())
    assert own
    rows = [
        {"name": "web", "pid": here.pid, "started": own.started, "state": "running", "restarts": 2},
        {"name": "worker", "pid": None, "started": None, "state": "restarting", "restarts": 1},
    ]  # fmt: skip
    record = {"pid": os.getpid(), "mark": "x", "processes": rows}
    (tmp_path / "processes.json").write_text(json.dumps(record))
    done = status(tmp_path)
    assert done.returncode == 0
    head, why, *rest = done.stdout.splitlines()
    assert head == "Studio runs, and is not well:"
    assert why.startswith("  web: does not answer at 127.0.0.1:")
    text = "\n".join(rest)
    assert re.search(rf"^web +running +{here.pid} .* MB +started again 2 times$", text, re.M)
    assert re.search(r"^worker +down +- +- +- +started again once$", text, re.M)


def test_its_help_tells_the_exit_codes(tmp_path: Path) -> None:
    done = status(tmp_path, "--help")
    told = " ".join(done.stdout.split())
    assert "Exit code 0 when it runs, well or not; 1 when it does not." in told
