"""The work of each step: what it finds, what it refuses and in which words."""

from __future__ import annotations

import gc
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Event, Thread
from typing import Any

import pytest
from django.conf import settings

from endpoints import interpreters, logs, steps
from endpoints.environments import Cancelled
from endpoints.models import Deployment
from endpoints.steps import Done, StepFailed, Work
from registry.models import ModelVersion
from studio.accounts.models import User
from studio.lib.errors import NotFound, Unservable
from tests.support.processes import until
from tests.support.serving import (
    MLMODEL,
    NO_PYFUNC,
    WITH_EXAMPLE,
    deploy,
    environment_of_servable,
    last_attempt,
    servable,
)

MakeWork = Callable[..., Work]


@pytest.fixture
def work_on(alice: User) -> MakeWork:
    def make(version: ModelVersion, **fields: str) -> Work:
        deployment = deploy(alice, version)
        Deployment.objects.filter(pk=deployment.pk).update(**{"storage": version.source} | fields)
        deployment.refresh_from_db()
        return Work(deployment, last_attempt(deployment), Event())

    return make


def told(work: Work) -> str:
    return "\n".join(logs.read(logs.of_attempt(work.attempt)).lines)


def stored(version: ModelVersion) -> Path:
    return Path(settings.ARTIFACTS) / "models" / f"{version.name}-{version.version}"


class TestResolve:
    def test_it_tells_where_the_files_lie_and_what_they_are(self, work_on: MakeWork) -> None:
        version = servable()
        work = work_on(version)
        done = steps.resolve(work)
        assert done.told == "sklearn"
        assert done.fields == {"storage": version.source}
        assert "flavours python_function, sklearn, logged with MLflow 3.17.2" in told(work)

    @pytest.mark.parametrize("gone", ["row", "mark"])
    def test_a_version_that_was_deleted_is_told(self, work_on: MakeWork, gone: str) -> None:
        version = servable()
        work = work_on(version)
        found = ModelVersion.objects.filter(name=version.name)
        found.delete() if gone == "row" else found.update(current_stage="Deleted_Internal")
        with pytest.raises(StepFailed, match=f"models:/{version.name}/1 has been deleted"):
            steps.resolve(work)

    def test_a_model_that_python_cannot_call_is_refused_with_what_it_has(
        self, work_on: MakeWork
    ) -> None:
        with pytest.raises(Unservable, match="no python_function flavour, only spark"):
            steps.resolve(work_on(servable(NO_PYFUNC)))

    def test_files_that_are_missing_are_told_with_their_address(self, work_on: MakeWork) -> None:
        version = servable()
        (stored(version) / "MLmodel").unlink()
        with pytest.raises(NotFound, match=f"no MLmodel file at {version.source}"):
            steps.resolve(work_on(version))

    @pytest.mark.parametrize("text", ["", "[]", "flavors: 3", "flavors: {a: [", "a: b"])
    def test_a_file_that_is_no_mlmodel_is_told(self, work_on: MakeWork, text: str) -> None:
        version = servable()
        (stored(version) / "MLmodel").write_text(text)
        with pytest.raises(Unservable, match="MLmodel file cannot be read"):
            steps.resolve(work_on(version))

    @pytest.mark.parametrize(
        "source", ["file:///etc", "s3://bucket/model", "/etc", "mlflow-artifacts:/../../etc"]
    )
    def test_what_lies_outside_the_artifacts_is_not_opened(
        self, work_on: MakeWork, source: str
    ) -> None:
        version = servable()
        ModelVersion.objects.filter(name=version.name).update(source=source)
        with pytest.raises(NotFound, match="does not lie below STUDIO_ARTIFACTS"):
            steps.resolve(work_on(version))


class TestFetch:
    def test_every_file_is_copied_with_its_folders(self, work_on: MakeWork) -> None:
        work = work_on(servable(**{"data/model.pkl": "pickled", "code/a/b.py": "x = 1"}))
        done = steps.fetch(work)
        assert done.told == f"4 files, {len(MLMODEL) + len('mlflow==3.17.2n') + 12} B"
        assert (work.model_folder / "data" / "model.pkl").read_text() == "pickled"
        assert (work.model_folder / "code" / "a" / "b.py").read_text() == "x = 1"
        assert work.model_folder == settings.HOME.models / str(work.deployment.pk)
        assert work.model_folder.stat().st_mode & 0o777 == 0o700

    def test_files_that_were_deleted_after_the_click_are_told(self, work_on: MakeWork) -> None:
        version = servable()
        work = work_on(version)
        steps.resolve(work)
        shutil.rmtree(stored(version))
        with pytest.raises(StepFailed, match=f"files at {version.source} have been deleted"):
            steps.fetch(work)
        assert not work.model_folder.exists()

    @pytest.mark.parametrize("step", [steps.resolve, steps.fetch])
    def test_a_store_that_is_away_is_told_with_its_setting(
        self,
        work_on: MakeWork,
        step: Callable[[Work], Done],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        work = work_on(servable())
        monkeypatch.setattr(settings, "ARTIFACTS", tmp_path / "away")
        with pytest.raises(StepFailed, match=r"out of reach: .*/away \(STUDIO_ARTIFACTS\)"):
            step(work)

    def test_twice_is_as_once(self, work_on: MakeWork) -> None:
        version = servable(**{"data/old.pkl": "old"})
        work = work_on(version)
        steps.fetch(work)
        (stored(version) / "data" / "old.pkl").rename(stored(version) / "data" / "new.pkl")
        steps.fetch(work)
        assert [path.name for path in (work.model_folder / "data").iterdir()] == ["new.pkl"]

    @pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "../../../secrets"])
    def test_a_link_that_leads_out_is_refused_and_nothing_is_left(
        self, work_on: MakeWork, target: str
    ) -> None:
        version = servable()
        (settings.HOME.root / "secrets").mkdir(exist_ok=True)
        (stored(version) / "aaa").symlink_to(target)
        work = work_on(version)
        with pytest.raises(NotFound, match="does not lie below STUDIO_ARTIFACTS"):
            steps.fetch(work)
        assert not work.model_folder.exists()
        assert not work.model_folder.with_name(f"{work.deployment.pk}.new").exists()

    def test_a_link_within_the_model_is_copied_as_what_it_names(self, work_on: MakeWork) -> None:
        version = servable(**{"data/model.pkl": "pickled"})
        (stored(version) / "latest.pkl").symlink_to("data/model.pkl")
        work = work_on(version)
        steps.fetch(work)
        copy = work.model_folder / "latest.pkl"
        assert copy.read_text() == "pickled"
        assert not copy.is_symlink()

    def test_a_link_to_a_folder_is_refused_rather_than_left_out(self, work_on: MakeWork) -> None:
        version = servable(**{"data/model.pkl": "pickled"})
        (stored(version) / "same").symlink_to("data")
        with pytest.raises(NotFound, match="same is a link to a folder"):
            steps.fetch(work_on(version))

    def test_cancelled_it_leaves_nothing(self, work_on: MakeWork) -> None:
        work = work_on(servable())
        work.lost.set()
        with pytest.raises(Cancelled):
            steps.fetch(work)
        assert not work.model_folder.exists()
        assert not work.model_folder.with_name(f"{work.deployment.pk}.new").exists()

    def test_a_copy_that_breaks_off_leaves_the_former_one_whole(
        self, work_on: MakeWork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = servable(**{"data/model.pkl": "first"})
        work = work_on(version)
        steps.fetch(work)
        (stored(version) / "data" / "model.pkl").write_text("second")
        work.lost.set()
        with pytest.raises(Cancelled):
            steps.fetch(work)
        assert (work.model_folder / "data" / "model.pkl").read_text() == "first"

    def test_a_large_model_is_told_of_while_it_is_copied(
        self, work_on: MakeWork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert steps._TICK <= 2.0
        monkeypatch.setattr(steps, "_TICK", 0.0)
        version = servable()
        with (stored(version) / "big").open("wb") as file:
            file.truncate(60_000_000)
        work = work_on(version)
        steps.fetch(work)
        assert len({line for line in told(work).splitlines() if "fetched " in line}) >= 5
        assert (work.model_folder / "big").stat().st_size == 60_000_000


class TestBuild:
    def test_an_environment_that_is_there_is_used(self, work_on: MakeWork) -> None:
        work = work_on(servable())
        steps.fetch(work)
        done = steps.build(work)
        assert done.fields == {"environment": environment_of_servable().name}
        assert done.told == f"1 requirement, Python {interpreters.own()[0]}, from the cache"

    def test_a_python_that_is_missing_is_replaced_with_a_warning(self, work_on: MakeWork) -> None:
        work = work_on(servable(**{"python_env.yaml": "python: 3.99.1\n"}))
        steps.fetch(work)
        done = steps.build(work)
        assert f"Python {interpreters.own()[0]}" in done.told
        assert "WARNING: the model was logged with Python 3.99" in told(work)
        assert f"There is {', '.join(interpreters.minors())}" in told(work)

    def test_what_only_conda_installs_is_refused(self, work_on: MakeWork) -> None:
        work = work_on(servable(**{"conda.yaml": "dependencies:\n- cudatoolkit\n"}))
        steps.fetch(work)
        with pytest.raises(Unservable, match="cudatoolkit from conda"):
            steps.build(work)


class UnixServer(ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _ = super().get_request()
        return request, ("replica", 0)  # a Unix socket has no address that the handler could tell


@pytest.fixture
def replica() -> Iterator[Callable[[int, str], str]]:
    """A server on a Unix socket that answers as it is told, and repeats what it was sent for 200."""
    servers: list[UnixServer] = []
    folder = Path(tempfile.mkdtemp())

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, self.headers["Content-Type"], sent))
                held.wait(10)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        address = str(folder / f"{len(servers)}.sock")
        server = UnixServer(address, Handler)
        servers.append(server)
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        return address

    received.clear()
    held.set()
    yield start
    held.set()
    for server in servers:
        server.shutdown()
        server.server_close()
    shutil.rmtree(folder)


received: list[tuple[str, str, bytes]] = []
held = Event()  # set: the server answers
EXAMPLE = {"dataframe_split": {"columns": ["x"], "data": [[1.5]]}}


def with_example(example: object = EXAMPLE) -> ModelVersion:
    return servable(WITH_EXAMPLE, **{"serving_input_example.json": json.dumps(example)})


class TestTryExample:
    @pytest.fixture
    def fetched(self, work_on: MakeWork) -> Callable[[ModelVersion], Work]:
        def make(version: ModelVersion) -> Work:
            work = work_on(version)
            steps.fetch(work)
            return work

        return make

    def test_the_example_is_sent_as_mlflow_wrote_it(
        self, fetched: MakeWork, replica: Callable[[int, str], str]
    ) -> None:
        work = fetched(with_example())
        done = steps.try_example(work, replica(200, "{}"))
        assert done.told.startswith("answered in ")
        ((path, kind, sent),) = received
        assert (path, kind, json.loads(sent)) == ("/invocations", "application/json", EXAMPLE)
        assert "input example answered with 200" in told(work)

    def test_an_example_with_missing_numbers_is_sent_too(
        self, fetched: MakeWork, replica: Callable[[int, str], str]
    ) -> None:
        work = fetched(with_example({"instances": [[float("nan"), None]]}))
        steps.try_example(work, replica(200, "{}"))
        assert received[0][2] == b'{"instances": [[NaN, null]]}'

    def test_a_model_that_fails_on_it_is_told_in_mlflows_words(
        self, fetched: MakeWork, replica: Callable[[int, str], str]
    ) -> None:
        body = json.dumps(
            {"error_code": "BAD_REQUEST", "message": "Model is missing inputs ['x']."}
        )
        with pytest.raises(StepFailed) as failed:
            steps.try_example(fetched(with_example()), replica(400, body))
        assert "fails on its own input example: Model is missing inputs ['x']." in str(failed.value)
        assert failed.value.detail == body

    @pytest.mark.parametrize("body", ["plain words", "[1, 2]", '"text"', "3"])
    def test_an_answer_that_is_no_object_is_told_as_it_is(
        self, fetched: MakeWork, replica: Callable[[int, str], str], body: str
    ) -> None:
        with pytest.raises(StepFailed) as failed:
            steps.try_example(fetched(with_example()), replica(500, body))
        assert f"example: {body} Log it again" in failed.value.message

    # httpcore drops the socket of a connection that was refused without closing it.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_replica_that_is_gone_is_told(self, fetched: MakeWork, tmp_path: Path) -> None:
        with pytest.raises(StepFailed, match="did not answer the model's input example"):
            steps.try_example(fetched(with_example()), str(tmp_path / "nobody.sock"))
        gc.collect()  # here, where it is expected

    def test_a_slow_answer_is_waited_for_with_a_word_every_two_seconds(
        self,
        fetched: MakeWork,
        replica: Callable[[int, str], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(steps, "_TICK", 0.05)
        held.clear()
        work = fetched(with_example())
        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(steps.try_example, work, replica(200, "{}"))
            until(lambda: told(work).count("waiting for its answer") > 2, "it is said")
            held.set()
            assert done.result(5).told.startswith("answered in ")

    def test_one_that_is_no_longer_wanted_is_not_waited_for(
        self,
        fetched: MakeWork,
        replica: Callable[[int, str], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(steps, "_TICK", 0.05)
        held.clear()
        work = fetched(with_example())
        work.lost.set()
        with pytest.raises(Cancelled):
            steps.try_example(work, replica(200, "{}"))
        until(lambda: received, "the replica is asked")  # while there is one

    def test_a_model_without_an_example_is_taken_at_its_word(
        self, fetched: MakeWork, tmp_path: Path
    ) -> None:
        work = fetched(servable())
        assert steps.try_example(work, str(tmp_path / "nobody.sock")).told == "no input example"
        assert "nothing to try" in told(work)
