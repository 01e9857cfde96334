"""Somebody with rights on an experiment of his own, who tries every artifact route on a running Studio."""

from __future__ import annotations

import http.client
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from tests.support.live import Studio

MARK = "only-the-machine-may-know"
UNNAMED = "never-asked-for.txt"  # so it is in an answer only if a folder outside was listed
ATTACHMENT = "1f0e8c6e-3c2a-4b61-9d0a-0123456789ab"
_API, _API3, _AJAX = "/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts"
_numbers = itertools.count(1)


class Answer(NamedTuple):
    asked: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Outside:
    """Files that nobody may get at: in a folder somewhere, and beside the folder of all artifacts."""

    folder: Path
    beside: Path

    def __post_init__(self) -> None:
        (self.folder / "attachments").mkdir(parents=True)
        (self.folder / "artifacts").mkdir()
        self.beside.mkdir(exist_ok=True)
        names = ["secret.txt", "MLmodel", "traces.json", "traces.pb", UNNAMED]
        for name in [*names, "artifacts/secret.txt", f"attachments/{ATTACHMENT}"]:
            (self.folder / name).write_text(MARK)
        for name in ("secret.txt", UNNAMED):
            (self.beside / name).write_text(MARK)
        self.before = self.state()

    def plant(self, *ids: str) -> None:
        """Put a secret where the files of these runs and models would be, if their experiment lay outside."""
        assert self.state() == self.before
        for place, name in itertools.product((self.folder, self.beside), ids):
            (place / name / "artifacts").mkdir(parents=True)
            for file in ("secret.txt", UNNAMED):
                (place / name / "artifacts" / file).write_text(MARK)
        self.before = self.state()

    def state(self) -> list[tuple[str, int, int]]:
        """Every file and folder with its time and size: changes when anything is written or deleted."""
        found = [self.folder, self.beside, *self.folder.rglob("*"), *self.beside.rglob("*")]
        stats = ((str(path), path.lstat()) for path in found)
        return sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def nothing_of_it(answers: Iterable[Answer]) -> list[Answer]:
    """The answers, once it is sure that none holds anything that only the machine may know."""
    found = list(answers)
    for answer in found:
        for secret in (MARK, UNNAMED, "PATH="):
            assert secret.encode() not in answer.body, answer
    return found


def user_on(live: Studio, name: str) -> str:
    """A token of a user of this name, without any grant."""
    made = f"from studio.accounts.models import User as U; U.objects.filter(username={name!r}) or U.objects.create_user({name!r})"
    live.manage("shell", "-c", made)
    return live.token(name)


@dataclass
class Attacker:
    live: Studio
    token: str
    outside: Outside

    def send(
        self,
        method: str,
        path: str,
        /,
        body: bytes | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Send the path byte for byte: a client that knows better would put it right."""
        place = urlsplit(self.live.url)
        headers = {"Authorization": f"Bearer {self.token}"} | (headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        target = path + ("?" + urlencode(query) if query else "")
        wire = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=30)
        try:
            wire.putrequest(method, target)
            for name, value in headers.items():
                wire.putheader(name, value)
            if body is not None:
                wire.putheader("Content-Length", str(len(body)))
            wire.endheaders(body)
            response = wire.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(f"{method} {target}", response.status, told, response.read())
        finally:
            wire.close()

    def experiment(self, location: str = "") -> Answer:
        body = {"name": uuid.uuid4().hex} | ({"artifact_location": location} if location else {})
        return self.send("POST", f"{_API}/experiments/create", body)

    def new_experiment(self, location: str = "") -> str:
        return str(self.experiment(location).json["experiment_id"])

    def new_run(self, experiment: str) -> str:
        made = self.send("POST", f"{_API}/runs/create", {"experiment_id": experiment})
        return str(made.json["run"]["info"]["run_id"])

    def new_model(self, experiment: str) -> str:
        body = {"experiment_id": experiment, "name": "m"}
        made = self.send("POST", f"{_API}/logged-models", body)
        return str(made.json["model"]["info"]["model_id"])

    def new_trace(self, experiment: str, trace_id: str = "", **tags: str) -> Answer:
        info = {
            "trace_id": trace_id or f"tr-{uuid.uuid4().hex}",
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment},
            },
            "request_time": "2026-01-01T00:00:00Z",
            "state": "OK",
            "tags": tags,
        }
        return self.send("POST", f"{_API3}/traces", {"trace": {"trace_info": info}})

    def folder_of(self, experiment: str, run: str) -> Path:
        folder = self.live.home / "artifacts" / experiment / run / "artifacts"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def address(self, location: str) -> Iterator[Answer]:
        """Give an experiment this artifact location, and use every route that opens what lies there."""
        made = self.experiment(location)
        yield made
        if made.status != 200:
            return
        experiment = made.json["experiment_id"]
        run, model = self.new_run(experiment), self.new_model(experiment)
        self.outside.plant(run, f"models/{model}")
        for path in ("", "secret.txt"):
            yield from self.of_run(run, path)
            yield from self.of_model(model, path)
        yield self.upload(run, "new.txt")
        yield from self.of_trace(experiment)
        yield from self.source(f"{location.rstrip('/')}/{run}/artifacts", run_id=run)

    def of_run(self, run: str, path: str) -> Iterator[Answer]:
        yield self.send("GET", f"{_API}/artifacts/list", run_id=run, path=path)
        yield self.send("GET", "/get-artifact", run_uuid=run, path=path)

    def presigned(self, run: str, path: str) -> Iterator[Answer]:
        for kind in ("upload", "download"):
            body = {"run_id": run, "path": path}
            yield self.send("POST", f"{_API}/artifacts/presigned-{kind}-url", body)
        yield self.send("GET", f"{_PROXY}/presigned/{path}")

    def in_parts(self, path: str) -> Iterator[Answer]:
        for step in ("create", "complete", "abort"):
            body = {"path": path, "num_parts": 1, "upload_id": "x", "parts": []}
            yield self.send("POST", f"{_PROXY}/mpu/{step}/{path}", body)

    def upload(self, run: str, path: str) -> Answer:
        return self.send("POST", f"{_AJAX}/upload-artifact", b"evil", run_uuid=run, path=path)

    def of_model(self, model: str, path: str) -> Iterator[Answer]:
        own = f"{_AJAX}/logged-models/{model}/artifacts"
        yield self.send("GET", f"{own}/files", artifact_file_path=path)
        yield self.send(
            "GET", f"{_API}/logged-models/{model}/artifacts/directories", artifact_directory_path=path
        )  # fmt: skip

    def of_trace(self, experiment: str, trace_id: str = "", **tags: str) -> Iterator[Answer]:
        made = self.new_trace(experiment, trace_id, **tags)
        if made.status != 200:
            yield made
            return
        trace = made.json["trace"]["trace_info"]["trace_id"]
        yield from self.read_trace(trace)
        body = {"experiment_id": experiment, "request_ids": [trace]}
        assert self.send("POST", f"{_API}/traces/delete-traces", body).status == 200

    def read_trace(self, trace: str) -> Iterator[Answer]:
        route = "/ajax-api/3.0/mlflow/get-trace-artifact"
        yield self.send("GET", route, request_id=trace)
        yield self.send("GET", route, request_id=trace, path=ATTACHMENT)

    def source(self, source: str, **more: Any) -> Iterator[Answer]:
        """Register a version with this source, and read its files, if that has been let through."""
        name = f"attack-{next(_numbers)}-{uuid.uuid4().hex[:6]}"
        body = {"name": name} | ({"tags": more.pop("model_tags")} if "model_tags" in more else {})
        assert self.send("POST", f"{_API}/registered-models/create", body).status == 200
        made = self.send(
            "POST", f"{_API}/model-versions/create", {"name": name, "source": source} | more
        )
        yield made
        if made.status == 200:
            route = "/model-versions/get-artifact"
            yield self.send("GET", route, name=name, version="1", path="secret.txt")

    def path(
        self, experiment: str, run: str, path: str, *, encode: bool = True
    ) -> Iterator[Answer]:
        """Use this path below a run, where it goes into an address, a query or a body."""
        prefix = f"{experiment}/{run}/artifacts/"
        target = f"{_PROXY}/artifacts/{prefix}{quote(path, safe='') if encode else path}"
        yield self.send("GET", target)
        yield self.send("PUT", target, b"evil")
        yield self.send("DELETE", target)
        yield self.send("GET", f"{_PROXY}/artifacts", path=prefix + path)
        yield from self.of_run(run, path)
        yield self.upload(run, path)
