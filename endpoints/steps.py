"""The work of each step on the way to live. Bounded, and harmless when done twice."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, TypeVar

import httpx
from django.conf import settings

from endpoints import environments, interpreters, logs, requirements
from endpoints.models import Attempt, Deployment
from registry import query as registry
from registry.mlmodel import MlModel
from registry.mlmodel import read as read_mlmodel
from registry.models import ModelVersion
from studio.accounts.permissions import WORKSPACE
from studio.lib import artifacts
from studio.lib.errors import StudioError, Unavailable, Unservable
from studio.lib.text import counted, sized

_TRY_PATIENCE = 60.0  # seconds
_TICK = 2.0  # seconds
_Result = TypeVar("_Result")


class StepFailed(StudioError):
    """The step cannot succeed as things are. `message` is for the person, `detail` what a program printed."""

    code, status = "step_failed", 422


@dataclass(frozen=True, slots=True)
class Done:
    """A step's result: a few words for the page, and the deployment's fields that it found out."""

    told: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """What a step works on. `say` writes a line into the attempt's log; `lost` asks it to stop."""

    deployment: Deployment
    attempt: Attempt
    lost: Event

    def say(self, line: str) -> None:
        logs.write(logs.of_attempt(self.attempt), line)

    @property
    def model_folder(self) -> Path:
        """The deployment's own copy of the model's files."""
        return Path(settings.HOME.models) / str(self.deployment.pk)

    def mlmodel(self) -> MlModel:
        return read_mlmodel(self.model_folder)


def resolve(work: Work) -> Done:
    """Find where the version's files lie, and that they are a model that can be served."""
    deployment = work.deployment
    work.say(f"resolving {deployment.model_uri}")
    version = (
        ModelVersion.objects.kept()
        .filter(
            workspace=WORKSPACE,
            name=deployment.model_name,
            version=deployment.model_version,
        )
        .first()
    )
    if version is None:
        raise StepFailed(f"{deployment.model_uri} has been deleted. Deploy another version.")
    _require_store()
    storage = registry.storage_of(version)
    mlmodel = read_mlmodel(registry.folder_of(version))
    if "python_function" not in mlmodel.flavors:
        raise Unservable(
            f"{version} has no python_function flavour, only {', '.join(mlmodel.flavors) or 'none'}. "
            "Log it with a flavour of MLflow that brings one, or as mlflow.pyfunc."
        )
    told = f"{', '.join(flavor for flavor in mlmodel.flavors if flavor != 'python_function') or 'python_function'}"
    work.say(
        f"found {storage}, flavours {', '.join(mlmodel.flavors)}, logged with MLflow {mlmodel.mlflow_version}"
    )
    return Done(told, {"storage": storage})


def fetch(work: Work) -> Done:
    """Copy the model's files to the deployment's own folder. Whole or not at all."""
    _require_store()
    source = artifacts.folder_of(work.deployment.storage)
    files = list(source.files())
    if not files:
        raise StepFailed(
            f"The model's files at {work.deployment.storage} have been deleted. Deploy another version."
        )
    total = sum(file.size for file in files)
    work.say(f"fetching {counted(len(files), 'file')}, {sized(total)}")
    draft = _draft(work)
    shutil.rmtree(draft, ignore_errors=True)
    copy = _Copy(source, files, draft, work.lost)
    try:
        _patiently(copy.run, work, lambda _: f"fetched {sized(copy.done)} of {sized(total)}")
        shutil.rmtree(work.model_folder, ignore_errors=True)
        draft.rename(work.model_folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Done(f"{counted(len(files), 'file')}, {sized(total)}", {})


def _require_store() -> None:
    try:
        artifacts.root().check()
    except Unavailable as away:
        raise StepFailed(away.message) from away


def remove_files(work: Work) -> None:
    """Delete what `fetch` has copied, and what a worker that was killed left half copied."""
    shutil.rmtree(work.model_folder, ignore_errors=True)
    shutil.rmtree(_draft(work), ignore_errors=True)


def _draft(work: Work) -> Path:
    return work.model_folder.with_name(f"{work.deployment.pk}.new")


class _Copy:
    """A copy on its way to a folder that is not there yet. `done`: bytes so far, from whichever thread they came."""

    def __init__(
        self, source: artifacts.Folder, files: list[artifacts.Entry], target: Path, lost: Event
    ) -> None:
        self.done = 0
        self._source, self._files, self._target, self._lost = source, files, target, lost
        self._counting = Lock()

    def run(self) -> None:
        """Copy file after file. Raises Cancelled as soon as nobody wants it any more."""
        # Until an account is given to who may read it, nobody else may.
        self._target.mkdir(mode=0o700, parents=True)
        for file in self._files:
            self._tell(0)
            (self._target / file.path).parent.mkdir(parents=True, exist_ok=True)
            self._source.copy(file.path, self._target / file.path, self._tell)

    def _tell(self, count: int) -> None:
        if self._lost.is_set():
            raise environments.Cancelled("The deployment is no longer wanted.")
        with self._counting:
            self.done += count


def build(work: Work) -> Done:
    """Build the environment that the model asks for, or find it in the cache."""
    mlmodel = work.mlmodel()
    wanted = requirements.read(work.model_folder, mlmodel.mlflow_version, mlmodel.python_version)
    minor, interpreter = _interpreter(wanted.python, work.say)
    key = wanted.key(minor)
    cached = environments.folder(key).exists()
    environments.build(
        wanted, interpreter, key, work.model_folder, work.say, work.lost, tuple(mlmodel.flavors)
    )
    return Done(
        f"{counted(len(wanted.lines), 'requirement')}, Python {minor}{', from the cache' if cached else ''}",
        {"environment": key},
    )


def try_example(work: Work, address: str) -> Done:
    """Send the model's input example through the replica. A model without one is taken at its word."""
    body = work.mlmodel().example
    if body is None:
        work.say("the model has no input example, nothing to try")
        return Done("no input example", {})
    started = time.monotonic()
    try:
        answer = _patiently(
            lambda: _post(address, body),
            work,
            lambda since: f"waiting for its answer, {since:.0f} s",
        )
    except httpx.HTTPError as failure:
        raise StepFailed(
            f"The replica did not answer the model's input example: {failure}."
        ) from failure
    took = f"{(time.monotonic() - started) * 1000:.0f} ms"
    work.say(f"input example answered with {answer.status_code} in {took}")
    if answer.status_code != 200:
        raise StepFailed(
            f"The model fails on its own input example: {_message(answer)} Log it again with an example that it takes.",
            detail=answer.text[:8000],
        )
    return Done(f"answered in {took}", {})


def _post(address: str, body: dict[str, Any]) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=address), timeout=_TRY_PATIENCE) as client:
        # As MLflow wrote it: an example may hold NaN, which MLflow takes and JSON proper does not.
        return client.post(
            "http://replica/invocations",
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )


def _patiently(
    ask: Callable[[], _Result], work: Work, meanwhile: Callable[[float], str]
) -> _Result:
    """Wait for a result, saying `meanwhile` of the seconds that have gone. Raises what `ask` raises, and Cancelled."""
    asked: Future[_Result] = Future()

    def run() -> None:
        try:
            asked.set_result(ask())
        except Exception as failure:  # noqa: BLE001 - it is raised where the answer is awaited
            asked.set_exception(failure)

    Thread(target=run, daemon=True).start()
    started = time.monotonic()
    while True:
        try:
            return asked.result(_TICK)
        except TimeoutError:
            work.say(meanwhile(time.monotonic() - started))
        if work.lost.is_set():
            raise environments.Cancelled("The deployment is no longer wanted.")


def _interpreter(minor: str, say: Callable[[str], None]) -> tuple[str, Path]:
    """The interpreter for the version that the model was logged with, or Studio's own with a warning."""
    own_minor, _ = interpreters.own()
    found = interpreters.find(minor or own_minor)
    if found is not None:
        say(
            f"Python {minor} found: {found}"
            if minor
            else f"the model names no Python version, using {own_minor}: {found}"
        )
        return minor or own_minor, found
    say(
        f"WARNING: the model was logged with Python {minor}, which this machine does not have; using {own_minor}. "
        f"There is {', '.join(interpreters.minors())}"
    )
    return own_minor, interpreters.find(own_minor) or interpreters.own()[1]


def _message(answer: httpx.Response) -> str:
    try:
        return str(json.loads(answer.text).get("message", answer.text))[:600]
    except (ValueError, AttributeError):
        return answer.text[:600]
