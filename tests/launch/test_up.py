"""`manage.py up` on this machine: ready, restarting what dies, and leaving nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import psycopg
import pytest
import redis

from studio.lib.database import embedded_url
from studio.lib.home import Home
from tests.support.live import ROOT, Studio, environment, studio
from tests.support.live_standin import replica_of, serve_standin
from tests.support.processes import free_port, until

_NAMES = {"postgres", "redis", "reference", "web", "gateway", "agent", "worker", "beat"}


def test_it_says_where_it_is_and_is_well(live: Studio) -> None:
    assert f"Studio is ready at {live.url}" in live.log()
    assert httpx.get(f"{live.url}/livez").text == "ok"
    health = httpx.get(f"{live.url}/healthz")
    assert (health.status_code, health.json()["unwell"]) == (200, [])
    assert set(health.json()["parts"]) == {
        "web", "database", "redis", "reference", "gateway", "agent", "worker",
    }  # fmt: skip


def test_status_tells_processes_addresses_and_versions(live: Studio) -> None:
    status = json.loads(live.manage("status", "--json"))
    assert {process["name"] for process in status["processes"]} == _NAMES
    assert {process["state"] for process in status["processes"]} == {"running"}
    assert all(psutil.pid_exists(process["pid"]) for process in status["processes"])
    assert status["urls"] == {"web": live.url, "scoring": live.scoring_url}
    assert {"studio", "mlflow", "django", "python"} <= set(status["versions"])
    assert "postgres   running" in live.manage("status")


def test_the_embedded_stores_keep_what_they_are_told_and_ask_for_a_password(live: Studio) -> None:
    status = json.loads(live.manage("status", "--json"))
    with psycopg.connect(status["database_url"]) as connection:
        for setting, value in (
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("password_encryption", "scram-sha-256"),
        ):
            assert connection.execute(f"SHOW {setting}").fetchone() == (value,)
        told = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert told == (False,)
    wrong = embedded_url(Home(live.home).postgres_socket, "studio", "wrong", "studio")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    with redis.Redis.from_url(status["redis_url"]) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    stranger = redis.Redis(unix_socket_path=str(Home(live.home).redis_socket))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_what_others_must_not_read_is_private(live: Studio) -> None:
    secrets = live.home / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    assert [path.name for path in secrets.iterdir() if path.stat().st_mode & 0o077] == []
    assert (Home(live.home).reference_socket.stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize(
    "name", ["web", "reference", "gateway", "worker", "beat", "agent", "redis", "postgres"]
)
def test_a_process_that_dies_is_started_again(live: Studio, name: str) -> None:
    before = _pid(live, name)
    os.killpg(before, signal.SIGKILL)
    after = until(lambda: _other_pid(live, name, before), f"{name} runs again", 20)
    assert after != before
    until(lambda: _well(live), "all is well again", 40)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_main_process_that_dies_alone_is_started_again_without_those_it_has_left(
    live: Studio, name: str
) -> None:
    before = _pid(live, name)
    left = psutil.Process(before).children(recursive=True)
    assert left
    os.kill(before, signal.SIGKILL)
    until(lambda: _other_pid(live, name, before), f"{name} runs again", 20)
    until(lambda: _well(live), "all is well again", 40)
    assert [process for process in left if _runs(process)] == []


def test_a_second_studio_of_the_same_home_is_refused_in_one_line(live: Studio) -> None:
    env = environment(live.home, free_port(), free_port())
    done = _up(env)
    assert done.returncode == 1
    assert "already running" in done.stderr
    assert "STUDIO_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told_with_its_setting(live: Studio, tmp_path: Path) -> None:
    done = _up(environment(tmp_path, live.port, free_port()))
    assert (done.returncode, f"Port {live.port} is in use: set STUDIO_PORT" in done.stderr) == (
        1,
        True,
    )
    done = _up(environment(tmp_path, free_port(), live.scoring_port))
    assert (done.returncode, "set STUDIO_SCORING_PORT" in done.stderr) == (1, True)


class Stopped(NamedTuple):
    """A Studio that has been stopped, and the processes that it had until then."""

    home: Path
    studio: Studio
    family: list[psutil.Process]
    beside: dict[
        str, int
    ]  # the pids that another Studio of this machine had when this one was started
    refused: int  # what it answered to that one's administrator


@pytest.fixture(scope="module")
def stopped(live: Studio, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """One with a live replica, the moment after its agent was killed. The proxy that it was told of is nowhere."""
    beside, stranger = _pids(live), live.token()
    home = tmp_path_factory.mktemp("stopped") / "home"
    nowhere = f"http://127.0.0.1:{free_port()}"
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy")
    proxies = dict.fromkeys(names, nowhere) | {"no_proxy": "", "NO_PROXY": ""}
    with studio(home, more=proxies | {"STUDIO_LOG_FORMAT": "json"}) as started:
        replica, agent = serve_standin(started), _pid(started, "agent")
        family = [*_family(started), replica]
        with started.client(stranger) as api:
            refused = api.get("/api/2.0/mlflow/users/current").status_code
        os.kill(agent, signal.SIGKILL)
        started.stop(10)
    return Stopped(home, started, family, beside, refused)


def test_two_side_by_side_know_nothing_of_each_other(live: Studio, stopped: Stopped) -> None:
    assert stopped.refused == 401
    assert _pids(live) == stopped.beside
    assert _well(live)


def test_stopped_in_10_s_it_leaves_nothing_even_where_its_agent_was_dead(stopped: Stopped) -> None:
    assert [process for process in stopped.family if _runs(process)] == []
    assert stopped.studio.process.returncode == 0
    assert json.loads(stopped.studio.lines[-1])["message"] == "stopped"
    assert {path.name for path in stopped.home.glob("*.json")} == set()


def test_with_json_asked_for_each_line_of_each_process_is_one_object(stopped: Stopped) -> None:
    told = [json.loads(line) for line in stopped.studio.lines]
    assert all({"at", "level", "process", "logger", "message"} <= one.keys() for one in told)
    assert {one["process"] for one in told} >= {"up", "prepare", "postgres", "redis", "worker"}
    of_ours = {one["process"] for one in told if one["logger"]}
    assert of_ours >= {"gateway", "worker", "agent"}
    assert not [one for one in told if one["message"].startswith("{")]  # wrapped once


def test_started_again_in_15_s_it_sweeps_what_a_killed_one_left_and_keeps_everything(
    stopped: Stopped,
) -> None:
    with studio(stopped.home) as killed:
        token = killed.token()
        with killed.client(token) as api:
            api.post("/api/2.0/mlflow/experiments/create", json={"name": "kept"})
        replica = replica_of(killed)
        left = [process for process in _family(killed)[1:] if process != replica]
        leaders = [_pid(killed, name) for name in ("web", "worker")]
        killed.process.kill()
        killed.process.wait()
        for pid in leaders:  # what they have started lives on, and is told of no end
            os.kill(pid, signal.SIGKILL)
        assert [process for process in left if _runs(process)]
        with studio(stopped.home) as next_one:
            assert [process for process in left if _runs(process)] == []
            assert "left behind by an earlier start" in next_one.log()
            assert "left behind by a process that has died" in next_one.log()
            with next_one.client(token) as api:
                asked = {"experiment_name": "kept"}
                found = api.get("/api/2.0/mlflow/experiments/get-by-name", params=asked)
                assert found.status_code == 200
            assert replica_of(next_one) == replica  # it has served on
            family = [*_family(next_one), replica]
            next_one.stop(10)
    assert [process for process in family if _runs(process)] == []
    assert next_one.process.returncode == 0
    assert next_one.lines[-1].endswith("stopped")
    assert not (stopped.home / "processes.json").exists()


def _up(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "up"]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def _pids(live: Studio) -> dict[str, int]:
    status = json.loads(live.manage("status", "--json"))
    return {process["name"]: process["pid"] for process in status["processes"]}


def _pid(live: Studio, name: str) -> int:
    status = json.loads(live.manage("status", "--json"))
    return int(next(process["pid"] for process in status["processes"] if process["name"] == name))


def _other_pid(live: Studio, name: str, before: int) -> int | None:
    processes = json.loads((live.home / "processes.json").read_text())["processes"]
    pid = next(process["pid"] for process in processes if process["name"] == name)
    return int(pid) if pid and pid != before else None


def _well(live: Studio) -> bool:
    try:
        return httpx.get(f"{live.url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _family(live: Studio) -> list[psutil.Process]:
    """`up`, and every process below it."""
    parent = psutil.Process(live.process.pid)
    return [parent, *parent.children(recursive=True)]


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
