"""Which run a request to MLflow's server writes to: told once MLflow has done it (signals.run_written)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest

from studio.mlflow.guards import pattern_of
from studio.mlflow.signals import run_written

_WRITING = {"POST", "PUT", "PATCH", "DELETE"}
# Bytes of a body that are kept: of a longer one it is not known which run it names.
_MOST = 1024 * 1024


def _any_of(*routes: str) -> re.Pattern[str]:
    return re.compile("|".join(map(pattern_of, routes)), re.DOTALL)


# By where the run's id stands.
_IN_ANSWER = _any_of("mlflow/runs/create", "mlflow/runs/create-promptlab-run")
_IN_QUERY = _any_of("mlflow/upload-artifact")
_IN_BODY = _any_of(
    *(f"mlflow/runs/{verb}" for verb in ("update", "delete", "restore", "set-tag", "delete-tag", "outputs")),
    *(f"mlflow/runs/log-{what}" for what in ("batch", "inputs", "metric", "model", "parameter")),
    "mlflow/traces/link-to-run",
    "mlflow/artifacts/presigned-upload-url",
)  # fmt: skip
_NEW_MODEL = _any_of("mlflow/logged-models")
_IN_PATH = re.compile(
    r"/(?:ajax-)?api/2\.0/mlflow-artifacts/(?:artifacts|mpu/[a-z]+)/((?:.+/)?([0-9a-f]{32})/artifacts)/.+"
)


class RunWrite:
    """A request on its way to MLflow's server. It need not be one that writes to a run."""

    def __init__(self, request: HttpRequest, path: str) -> None:
        self._path = path if request.method in _WRITING else ""
        self._query = request.META.get("QUERY_STRING", "")
        self._kept: list[bytes] = []  # of the body

    def overhear(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """The body's pieces as they pass, which are kept if they may name the run and are not too many."""
        if _IN_BODY.fullmatch(self._path) or _NEW_MODEL.fullmatch(self._path):
            return self._overheard(body)
        return body

    @property
    def waits(self) -> bool:
        """Whether only MLflow's answer tells which run it is."""
        return _IN_ANSWER.fullmatch(self._path) is not None

    def done(self, answer: Iterable[bytes]) -> None:
        """MLflow has done it. Its answer is read if it is waited for, and can then be read again."""
        run_id, place = self._written_to(answer)
        if 0 < len(run_id) <= 32 and len(place) <= 200 and f"{run_id}{place}".isprintable():
            run_written.send(type(self), run_id=run_id, place=place)

    def _overheard(self, body: Iterator[bytes]) -> Iterator[bytes]:
        length = 0
        for piece in body:
            length += len(piece)
            if length <= _MOST:
                self._kept.append(piece)
            else:
                self._kept.clear()
            yield piece

    def _written_to(self, answer: Iterable[bytes]) -> tuple[str, str]:
        if found := _IN_PATH.fullmatch(self._path):
            return found[2], f"mlflow-artifacts:/{found[1]}"
        if _IN_QUERY.fullmatch(self._path):
            return parse_qs(self._query).get("run_uuid", [""])[0], ""
        if self.waits:
            told = _parsed(b"".join(answer))
            return _text(_value(_value(told, "run"), "info"), "run_id"), ""
        sent = _parsed(b"".join(self._kept))
        if _NEW_MODEL.fullmatch(self._path):
            return _text(sent, "source_run_id"), _text(sent, "experiment_id") or "?"
        return _text(sent, "run_id") or _text(sent, "run_uuid"), ""


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # what MLflow took, it read otherwise
        return None


def _value(message: Any, name: str) -> Any:
    """A message's value by its name, or by that in camel case, which MLflow takes as well."""
    if not isinstance(message, dict):
        return None
    camel = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
    return message.get(name, message.get(camel))


def _text(message: Any, name: str) -> str:
    value = _value(message, name)
    return value if isinstance(value, str) else ""
