"""The template as a process: it imports once, forks replicas, tells how they end, and ends when it should."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.endpoints.runtime.model_server_kit import (
    NEWEST,
    PATIENCE,
    RUNTIME,
    Environment,
    Reply,
    ask,
    connectable,
    end,
    launch,
    wait_until,
)

ECHO = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.5]]}})


@dataclass
class Replica:
    pid: int
    socket: Path
    log: Path

    def score(self, body: str = ECHO) -> Reply:
        return ask(self.socket, "/invocations", body.encode(), "application/json", "POST")


@dataclass
class Template:
    process: subprocess.Popen[bytes]
    folder: Path
    models: Path
    connection: socket.socket
    replicas: list[Replica] = field(default_factory=list)

    @property
    def log(self) -> str:
        return (self.folder / "out").read_text()

    def hear(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.connection.recv(65536))
        return told

    def ask(self, model: Path) -> Replica:
        name = f"replica-{len(self.replicas)}"
        place, log = self.folder / name, self.folder / f"{name}.log"
        place.mkdir()
        path = self.folder / f"{name}.sock"
        packet = {"model": str(model), "socket": str(path), "folder": str(place)}
        with log.open("ab") as output:
            socket.send_fds(self.connection, [json.dumps(packet).encode()], [output.fileno()])
        self.replicas.append(Replica(self.hear()["pid"], path, log))
        return self.replicas[-1]

    def fork(self, model: str) -> Replica:
        replica = self.ask(self.models / model)
        wait_until(lambda: connectable(replica.socket))
        return replica


@pytest.fixture(scope="module")
def start(
    environment_of: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Template]]:
    with ExitStack() as stack:

        def run(*more: str, ready: bool = True, **variables: str) -> Template:
            python, models = environment_of(NEWEST)
            folder = tmp_path_factory.mktemp("template")
            path = folder / "template.sock"
            command: list[str | Path] = [python, "-m", "model_server.template", "--socket", path]
            process = launch(folder, *command, *more, **variables)
            stack.callback(end, process)
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            connection.settimeout(PATIENCE)
            template = Template(process, folder, models, connection)
            stack.callback(_end_replicas, template)
            if ready:
                wait_until(lambda: connection.connect_ex(str(path)) == 0 or _over(process))
                assert process.poll() is None, (folder / "err").read_text()
            return template

        yield run


def _over(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _end_replicas(template: Template) -> None:
    for replica in template.replicas:
        if psutil.pid_exists(replica.pid):
            os.kill(replica.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def template(start: Callable[..., Template]) -> Template:
    return start("--flavor", "sklearn", "--flavor", "torch", "--flavor", "python_function")


def test_a_replica_answers_as_one_of_its_own_process_does(template: Template) -> None:
    replica = template.fork("plain")
    reply = replica.score()
    assert (reply.status, json.loads(reply.body)) == (200, {"predictions": [{"x": 1.5}]})
    assert "serving on" in replica.log.read_text()


def test_it_leads_a_group_of_its_own_in_a_folder_of_its_own(template: Template) -> None:
    replica = template.fork("plain")
    assert os.getpgid(replica.pid) == os.getsid(replica.pid) == replica.pid
    assert psutil.Process(replica.pid).cwd() == str(template.folder / replica.socket.stem)


def test_a_further_one_holds_little_of_its_own(template: Template) -> None:
    replica = template.fork("iris")
    own = psutil.Process(replica.pid).memory_full_info().uss
    assert own < 45 << 20, f"{own >> 20} MiB"


def test_it_holds_none_of_the_templates_descriptors(template: Template) -> None:
    replica = template.fork("plain")
    ends = {connection.laddr for connection in psutil.Process(replica.pid).net_connections("unix")}
    assert str(template.folder / "template.sock") not in ends


def test_random_numbers_of_two_replicas_differ(template: Template) -> None:
    draw = json.dumps({"dataframe_split": {"columns": ["do"], "data": [["draw"]]}})
    first, second = (json.loads(template.fork("plain").score(draw).body) for _ in range(2))
    assert first["predictions"] != second["predictions"]


def test_how_a_replica_ends_is_told(template: Template) -> None:
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
        replica = template.fork("plain")
        os.kill(replica.pid, number)
        assert template.hear() == {"ended": replica.pid, "code": code}


def test_a_model_that_does_not_load_ends_its_replica_alone(template: Template) -> None:
    replica = template.ask(template.folder / "no-model")
    assert template.hear() == {"ended": replica.pid, "code": 3}
    assert "FileNotFoundError" in replica.log.read_text()
    assert template.fork("plain").score().status == 200


def test_what_must_not_be_forked_is_not_imported(
    start: Callable[..., Template], tmp_path: Path
) -> None:
    for name in ("torch", "lightgbm"):
        (tmp_path / f"{name}.py").write_text(f"print('{name} is imported')")
    flavors = ("--flavor", "torch", "--flavor", "lightgbm")
    template = start(*flavors, PYTHONPATH=f"{RUNTIME}:{tmp_path}")
    assert "torch must not be forked" in template.log
    assert "lightgbm is imported" in template.log
    assert "torch is imported" not in template.log


def test_an_agent_that_comes_back_is_served_and_the_former_is_not(
    start: Callable[..., Template],
) -> None:
    template = start()
    replica = template.fork("plain")
    former = template.connection
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as again:
        again.settimeout(PATIENCE)
        again.connect(str(template.folder / "template.sock"))
        assert former.recv(1) == b""
        template.connection = again
        os.kill(replica.pid, signal.SIGKILL)
        assert template.hear() == {"ended": replica.pid, "code": -9}
        assert template.fork("plain").score().status == 200


def test_replicas_outlive_it(start: Callable[..., Template]) -> None:
    template = start()
    replica = template.fork("plain")
    template.process.kill()
    template.process.wait(PATIENCE)
    assert replica.score().status == 200


def test_it_ends_once_it_has_been_idle(start: Callable[..., Template]) -> None:
    template = start("--idle", "0", ready=False)
    assert template.process.wait(PATIENCE) == 0
    assert "idle for 0 s: ending" in template.log
    assert not (template.folder / "template.sock").exists()


def test_with_a_replica_it_is_not_idle(start: Callable[..., Template]) -> None:
    template = start("--idle", "0.2")
    template.fork("plain")
    old = time.time() + 0.3
    wait_until(lambda: time.time() > old)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as again:
        again.settimeout(PATIENCE)
        again.connect(str(template.folder / "template.sock"))  # and so it looks at the clock
        assert template.connection.recv(1) == b""
        template.connection = again
        assert template.fork("plain").score().status == 200
    for replica in template.replicas:
        os.kill(replica.pid, signal.SIGKILL)
    assert template.process.wait(PATIENCE) == 0


def test_it_ends_when_it_holds_too_much(start: Callable[..., Template]) -> None:
    template = start("--memory-mb", "1", ready=False)
    assert template.process.wait(PATIENCE) == 5
    assert "holds more than 1 MiB: ending" in template.log
