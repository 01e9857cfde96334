"""As root each child has an account of its own, which reaches what it needs and nothing else of Studio's."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from endpoints import environments, interpreters
from endpoints.agent import accounts, children, spawning
from endpoints.agent.accounts import FIRST, LAST, Account
from endpoints.models import Replica, ReplicaState
from studio.accounts.models import User
from studio.lib.home import Home
from studio.lib.processes import Identity
from tests.support.processes import until
from tests.support.serving import make_deployment, make_replica

_OPEN = interpreters.find(interpreters.own()[0])
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or _OPEN is None or not interpreters.open_to_others(_OPEN),
    reason="only root can give a child another account, and it needs a Python that others can run",
)
LOOK = """
import json, os, sys
def look(path):
    try:
        return sorted(os.listdir(path)) if os.path.isdir(path) else open(path).read()
    except OSError as failure:
        return type(failure).__name__
seen = {path: look(path) for path in sys.argv[1:]}
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
seen["who"] = [os.getuid(), os.getgid(), os.getgroups()]
seen["rights"] = [status["CapPrm"].strip(), status["NoNewPrivs"].strip(), status["Umask"].strip()]
seen["home"] = os.environ["HOME"]
open("left", "w").write("x")
print(json.dumps(seen))
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that other accounts may pass through, as root's is by default."""
    folder = Path(tempfile.mkdtemp(prefix="studio-", dir="/var/tmp"))  # noqa: S108 - as above
    folder.chmod(0o711)
    found = Home(folder)
    found.make()
    monkeypatch.setattr(settings, "HOME", found)
    # The checkout, and with it the runtime, may lie below a folder that is closed.
    checkout = Path(tempfile.mkdtemp(prefix="checkout-", dir="/var/tmp"))  # noqa: S108 - as above
    checkout.chmod(0o755)
    shutil.copytree(spawning.RUNTIME, checkout / "runtime")
    monkeypatch.setattr(spawning, "RUNTIME", checkout / "runtime")
    accounts.reachable.cache_clear()
    accounts._unreached.clear()
    accounts.prepare()
    assert accounts.warning() == ""
    yield found
    accounts.reachable.cache_clear()
    accounts._unreached.clear()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(checkout, ignore_errors=True)


def environment(key: str) -> Path:
    """An environment as uv makes it, without packages. Returns its interpreter."""
    place = environments.folder(key)
    made = [str(environments._UV), "venv", "-q", "--python", str(_OPEN), str(place)]
    subprocess.run([*made, "--no-python-downloads"], check=True)
    return place / "bin" / "python"


@pytest.fixture
def python(home: Home) -> Path:
    return environment("key")


def model_of(deployment: int) -> Path:
    model = settings.HOME.models / str(deployment)
    model.mkdir(mode=0o700)  # as the step that copies it does
    (model / "data").mkdir()
    (model / "data" / "model.pkl").write_text(f"of {deployment}")
    return Path(model)


@pytest.fixture
def look(home: Home, python: Path) -> Callable[..., dict[str, Any]]:
    """Let a child look at paths, and tell what it saw and who it was."""

    def run(account: Account | None, *paths: Path) -> dict[str, Any]:
        place, log = home.root / "replicas" / "looks", home.logs / "looks.log"
        spawning.fresh_folder(place)
        accounts.hand_over(account, model_of(99), place)
        log.unlink(missing_ok=True)
        command = [str(python), "-c", LOOK, *map(str, paths)]
        process = spawning.spawn(command, place, log, account)
        assert process.wait(20) == 0, log.read_text()
        shutil.rmtree(home.models / "99")
        return dict(json.loads(log.read_text().splitlines()[-1]))

    return run


def some(python: Path, replica: int = 1, key: str = "key") -> Account:
    account = accounts.of_replica(replica, key, python)
    assert account is not None
    return account


def template(python: Path, key: str = "key") -> Account:
    account = accounts.of_template(key, python)
    assert account is not None
    return account


class TestWho:
    def test_a_child_is_nobody_that_the_machine_knows_and_has_no_rights(
        self, look: Callable[..., dict[str, Any]], python: Path, home: Home
    ) -> None:
        account, groups = some(python), os.getgroups()
        os.setgroups([4242])
        try:
            seen = look(account)
        finally:
            os.setgroups(groups)
        assert seen["who"] == [account.uid, account.gid, []]
        assert FIRST <= account.uid <= LAST
        assert seen["rights"] == ["0000000000000000", "1", "0077"]
        assert seen["home"] == str(home.root / "replicas" / "looks")

    def test_each_replica_and_each_template_is_somebody_else(self, python: Path) -> None:
        found = [some(python, 1, "key"), some(python, 2, "key"), some(python, 3, "other")]
        templates = [template(python, key) for key in ("key", "other")]
        assert len({account.uid for account in [*found, *templates]}) == 5

    def test_who_serves_models_of_an_environment_has_its_group(self, python: Path) -> None:
        found = [some(python, 1, "key"), some(python, 2, "key"), some(python, 3, "other")]
        one, other = template(python, "key").gid, template(python, "other").gid
        assert [account.gid for account in found] == [one, one, other]
        assert one != other

    def test_a_template_keeps_its_account(self, python: Path) -> None:
        assert accounts.of_template("key", python) == accounts.of_template("key", python)

    def test_the_account_of_a_process_is_found_again(self, python: Path) -> None:
        account = some(python)
        command = account.command([str(python), "-c", "input()"])
        with subprocess.Popen(command, stdin=subprocess.PIPE, **account.options()) as process:
            assert accounts.of_process(process.pid) == account
        assert accounts.of_process(os.getpid()) is None
        assert accounts.of_process(2**22 + 1) is None


class TestReach:
    def test_it_reads_its_model_and_none_of_another_environment(
        self, look: Callable[..., dict[str, Any]], python: Path
    ) -> None:
        mine, other = model_of(1), model_of(2)
        account = some(python, 1)
        accounts.hand_over(account, mine)
        accounts.hand_over(some(python, 2, "other"), other)
        seen = look(account, mine / "data" / "model.pkl", other / "data" / "model.pkl", other)
        assert list(seen.values())[:3] == ["of 1", "PermissionError", "PermissionError"]

    def test_replicas_of_a_deployment_read_the_same_model(
        self, look: Callable[..., dict[str, Any]], python: Path
    ) -> None:
        model = model_of(1)
        for replica in (1, 2):
            accounts.hand_over(some(python, replica), model)
        for replica in (1, 2):
            seen = look(some(python, replica), model / "data" / "model.pkl")
            assert seen[str(model / "data" / "model.pkl")] == "of 1"

    def test_one_that_starts_by_itself_takes_no_model_away_from_those_that_were_forked(
        self, look: Callable[..., dict[str, Any]], python: Path
    ) -> None:
        file = model_of(1) / "data" / "model.pkl"
        accounts.hand_over(template(python), file.parent.parent)
        accounts.hand_over(some(python), file.parent.parent)
        for account in (template(python), some(python)):
            assert look(account, file)[str(file)] == "of 1"

    def test_what_is_copied_for_nobody_yet_is_read_by_nobody(
        self, look: Callable[..., dict[str, Any]], python: Path
    ) -> None:
        model = model_of(2)
        seen = look(some(python), model, model / "data" / "model.pkl")
        assert list(seen.values())[:2] == ["PermissionError", "PermissionError"]

    def test_nothing_else_below_the_home_is_open_to_it(
        self, look: Callable[..., dict[str, Any]], python: Path, home: Home
    ) -> None:
        home.secret("secret-key")
        for folder in (home.artifacts, home.uv_cache, home.static, home.redis):
            folder.mkdir(mode=0o755, exist_ok=True)
            (folder / "inside").write_text("x")
        accounts.prepare()
        (home.logs / "1").mkdir()
        (home.logs / "1" / "1.log").write_text("x")
        (home.root / "replicas" / "2").mkdir()
        accounts.hand_over(some(python, 2, "other"), model_of(2), home.root / "replicas" / "2")
        (home.root / "replicas" / "2" / "left").write_text("x")
        closed = [
            home.root,
            home.root / "secrets" / "secret-key",
            *(folder / "inside" for folder in (home.artifacts, home.uv_cache)),
            *(folder / "inside" for folder in (home.static, home.redis)),
            home.logs / "1" / "1.log",
            home.environments,
            home.models,
            home.root / "replicas",
            home.root / "replicas" / "2" / "left",
            home.sockets,
        ]
        seen = look(some(python), *closed)
        assert {path: seen[str(path)] for path in closed} == dict.fromkeys(
            closed, "PermissionError"
        )

    def test_the_sockets_of_others_refuse_it(
        self, look: Callable[..., dict[str, Any]], python: Path, home: Home
    ) -> None:
        folder = spawning.fresh_folder(home.sockets / "replica-2")
        accounts.hand_over(some(python, 2), model_of(2), folder)
        bare = home.sockets / "redis.sock"
        code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
            one.bind(str(folder / "s"))
            two.bind(str(bare))
            bare.chmod(0o700)
            for listener in (one, two):
                listener.listen()
            for path in (folder / "s", bare):
                done = subprocess.run(
                    [str(python), "-c", code, str(path)],
                    capture_output=True,
                    text=True,
                    check=False,
                    cwd="/",
                    **some(python).options(),
                )
                assert "PermissionError" in done.stderr

    def test_its_own_files_are_its_own(
        self, look: Callable[..., dict[str, Any]], python: Path, home: Home
    ) -> None:
        account = some(python)
        look(account)
        left = (home.root / "replicas" / "looks" / "left").stat()
        assert (left.st_uid, left.st_mode & 0o777) == (account.uid, 0o600)

    def test_it_does_not_write_to_environment_or_model(self, python: Path) -> None:
        model = model_of(1)
        account = some(python)
        accounts.hand_over(account, model)
        for place in (environments.folder("key"), model, model / "data"):
            code = f"open({str(place / 'evil')!r}, 'w')"
            command = [str(python), "-c", code]
            done = subprocess.run(
                command, capture_output=True, check=False, cwd="/", **account.options()
            )
            assert b"PermissionError" in done.stderr


class TestWhere:
    def test_not_as_root_there_are_no_accounts(
        self, python: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accounts.reachable.cache_clear()
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        assert accounts.of_replica(1, "key", python) is None
        assert accounts.of_template("key", python) is None
        assert accounts.warning() == ""

    @pytest.mark.parametrize("what", ["home", "environment", "interpreter", "runtime"])
    def test_where_the_way_is_closed_it_runs_as_studio_does_and_that_is_said(
        self,
        home: Home,
        python: Path,
        what: str,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        private = home.root / "private"
        private.mkdir(mode=0o700)
        closed = {"home": home.root, "environment": python.parent.parent}.get(what, private)
        if what in ("home", "environment"):
            closed.chmod(0o700)
        elif what == "interpreter":
            shutil.copy(Path(sys.executable).resolve(), private / "python")
            python.unlink()
            python.symlink_to(private / "python")
        else:
            shutil.copytree(spawning.RUNTIME, private / "runtime")
            monkeypatch.setattr(spawning, "RUNTIME", private / "runtime")
        mode = closed.stat().st_mode
        accounts.reachable.cache_clear()
        with caplog.at_level(logging.WARNING, "endpoints.agent.accounts"):
            assert accounts.of_replica(1, "key", python) is None
            assert accounts.of_template("key", python) is None
        (told,) = caplog.messages
        assert f"with the rights of root, not under accounts of their own: {closed} is" in told
        assert "or run Studio as another user" in told
        assert accounts.warning().endswith("The agent's log says why, and what to do.")
        assert str(closed) not in accounts.warning()
        assert closed.stat().st_mode == mode

    def test_a_python_that_does_not_run_is_told_as_such(
        self, python: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        python.unlink()
        python.write_text("#!/bin/sh\necho broken machine >&2; exit 3\n")
        python.chmod(0o755)
        assert accounts.of_replica(1, "key", python) is None
        assert "broken machine" in caplog.text

    def test_no_folder_that_is_not_studios_is_touched(self, home: Home) -> None:
        foreign = home.root / "postgres"
        foreign.mkdir(mode=0o755)
        os.chown(foreign, FIRST, FIRST)
        accounts.prepare()
        assert foreign.stat().st_mode & 0o777 == 0o755
        assert home.root.stat().st_mode & 0o777 == 0o711


def answers(address: str) -> bool:
    """Whether this process, which is root's as the gateway is, is answered there."""
    with socket.socket(socket.AF_UNIX) as wire:
        try:
            wire.connect(address)
        except OSError:
            return False
        wire.sendall(b"GET /ping HTTP/1.1\r\nHost: replica\r\n\r\n")
        return wire.recv(100).startswith(b"HTTP/1.1 200")


class TestReplica:
    """A replica as the agent starts it, of a stand-in for the model server."""

    @pytest.fixture
    def replica(self, home: Home, alice: User) -> Iterator[Replica]:
        deployment = make_deployment(alice)
        python = environment("standin")
        standin = Path(__file__).parents[1] / "support" / "standin" / "model_server"
        (packages,) = python.parent.parent.glob("lib/python*/site-packages")
        shutil.rmtree(spawning.RUNTIME / "model_server")
        shutil.copytree(standin, spawning.RUNTIME / "model_server")
        assert packages.exists()
        model = model_of(deployment.pk)
        (model / "behaviour").write_text("serve")
        deployment.environment = "standin"
        deployment.save(update_fields=["environment"])
        yield make_replica(deployment, ReplicaState.STARTING)

    def test_it_answers_who_may_connect_and_takes_signals(
        self, replica: Replica, home: Home
    ) -> None:
        child = children.start(replica)
        try:
            until(lambda: answers(child.address), "it answers", 20)
            account = accounts.of_process(child.identity.pid)
            assert account is not None
            place = Path(child.address).stat()
            assert place.st_uid == account.uid
            group = template(environments.python_of("standin"), "standin").gid
            model = home.models / str(replica.deployment_id)
            assert (account.gid, model.stat().st_gid) == (group, group)
            assert Path(child.address).parent.stat().st_mode & 0o777 == 0o700
            child.signal(signal.SIGTERM)
            assert child.exit_code() is not None
        finally:
            child.signal(signal.SIGKILL)
            child.exit_code()
            child.close()
        assert Identity.of(child.identity.pid) is None
        assert not Path(child.address).parent.exists()
        assert list((home.root / "replicas").iterdir()) == []

    def test_an_environment_that_was_removed_is_told(self, replica: Replica) -> None:
        shutil.rmtree(environments.folder("standin"))
        with pytest.raises(OSError, match="has been removed from this machine; a retry builds it"):
            children.start(replica)
