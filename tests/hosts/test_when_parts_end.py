"""Each process alone: what it refuses, what its death leaves, and that it ends when asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.hosts.test_through_nginx import deploy_standin
from tests.support.hosts import FIRST, ROOT, SECOND, Host, Hosts
from tests.support.processes import free_port, runs, until


def starting(host: Host, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=host.environment | more,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_what_cannot_join_says_so_in_one_line(two: Hosts, tmp_path: Path) -> None:
    home = {"STUDIO_HOME": str(tmp_path / "third")}
    ports = {"STUDIO_PORT": str(free_port()), "STUDIO_SCORING_PORT": str(free_port())}
    whole = starting(two.second, "up", **ports, STUDIO_HOME=str(tmp_path / "fourth"))
    expected = {
        "The web already runs": starting(two.first, "run", "web"),
        f"Studio is already running from {two.first.home}": starting(two.first, "up"),
        "The agent belongs on the host of the agent, which runs on": starting(
            two.second, "run", "agent"
        ),
        "is not the folder that the other hosts use": starting(
            two.second, "run", "beat", STUDIO_ARTIFACTS=str(tmp_path)
        ),
        "Port": starting(two.second, "run", "web", **home),
    }
    for told, process in expected.items():
        said, _ = process.communicate(timeout=60)
        assert (process.returncode, told in said) == (1, True), said
        assert said.count("\n") == 1
        assert "Traceback" not in said
    said, _ = whole.communicate(timeout=90)
    assert whole.returncode == 1
    last = said.splitlines()[-1]
    assert "`manage.py up` belongs on the host of the agent, which runs on" in last
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def replica(two: Hosts) -> psutil.Process:
    """That of a live deployment of `first`."""
    deploy_standin(two, "ending")
    with psycopg.connect(two.first.environment["DATABASE_URL"], autocommit=True) as connection:
        asked = """
            SELECT replica.pid FROM endpoints_replica replica
            JOIN endpoints_deployment deployment ON deployment.id = replica.deployment_id
            JOIN endpoints_endpoint endpoint ON endpoint.id = deployment.endpoint_id
            WHERE endpoint.name = 'ending' AND replica.state = 'ready'
        """
        row = until(lambda: connection.execute(asked).fetchone(), "a replica is ready", 30)
    return psutil.Process(row[0])


def test_replicas_outlive_an_agent_that_is_killed_and_the_next_one_takes_them_over(
    two: Hosts, replica: psutil.Process
) -> None:
    agent = two.first.running["agent"]
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    assert runs(replica)
    two.first.start("agent")  # its locks have died with it, though the replica has not
    until(
        lambda: "adopted replica=" in (two.first.home / "agent.out").read_text(),
        "the next agent has found it",
        30,
    )
    assert runs(replica)


def test_asked_to_end_each_ends_by_itself_and_the_agent_with_its_replicas(
    two: Hosts, replica: psutil.Process
) -> None:
    processes = [*two.first.running.values(), *two.second.running.values()]
    families = [psutil.Process(one.pid).children(recursive=True) for one in processes]
    codes = {**two.first.stop(*FIRST)}
    assert set(codes.values()) <= {0, -signal.SIGTERM}, codes
    assert set(two.second.stop(*SECOND).values()) <= {0, -signal.SIGTERM}
    assert not runs(replica)
    assert [one for family in families for one in family if runs(one)] == []
    with two.client() as client:
        assert client.get("/livez").status_code == 502  # nginx is still there, and says so
