"""A request to try an endpoint with, and how a program would send it."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from endpoints import services
from endpoints.models import Deployment, Endpoint
from registry.mlmodel import read
from studio.lib import artifacts
from studio.lib.errors import NotFound, Unavailable, Unservable
from studio.lib.http import gateway_url
from studio.lib.text import python_literal, readable_json

KEY_VARIABLE = "$STUDIO_KEY"
# For a model that says nothing of its input: the shape of a body, for a person to fill in.
_SHAPE = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}}
_PATIENCE = 35.0  # seconds: longer than the gateway's own
_LONGEST = 200_000  # characters of an answer that the page shows
_MOST_ROWS = 5  # of an input example that has more
# Bytes of a body that stands in a command line: Linux takes 128 KiB as one argument.
_MOST_ARGUMENT = 100_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no prediction, and the model's own traceback where it has one."""

    message: str
    trace: str

    @property
    def text(self) -> str:
        """The message, and the model's own last words: MLflow's message may be the same for every model."""
        last = self.trace.rpartition("\n")[2]
        return self.message if last in self.message else f"{self.message}\n{last}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered to a test. `status` 0: it could not be reached."""

    status: int
    body: str
    milliseconds: float
    deployment: str

    @property
    def refusal(self) -> Refusal | None:
        """What a failed answer says, if it says it as MLflow, the gateway or Studio does. None: the body is all there is."""
        if self.status == 200:
            return None
        try:
            told = json.loads(self.body)
            told = told.get("error", told)  # the gateway's is one level deeper
            message, trace = told["message"], told.get("stack_trace") or ""
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return Refusal(self.body, "") if not self.status else None
        return Refusal(str(message), str(trace).strip())


def body_for(deployment: Deployment | None) -> str:
    """A body as JSON text: the model's input example, zeros that fit its signature, or a shape."""
    body = None
    if deployment is not None:
        try:
            body = read(_model_of(deployment)).body
        except (Unservable, NotFound, Unavailable):
            body = None  # not fetched yet, not a model, or out of reach: the shape does
    return readable_json(_first_rows(body) if body is not None else _SHAPE)


def _model_of(deployment: Deployment) -> artifacts.Folder | Path:
    """The deployment's own copy; where that is another host's, what it was copied from."""
    if settings.GATEWAY_URL and deployment.storage:
        return artifacts.folder_of(deployment.storage)
    return Path(settings.HOME.models) / str(deployment.pk)


def _first_rows(body: dict[str, Any]) -> dict[str, Any]:
    """The body with few rows: an example of thousands tells no more, and no page or command holds it."""
    cut: dict[str, Any] = {
        name: rows[:_MOST_ROWS] for name, rows in body.items() if isinstance(rows, list)
    }
    split = body.get("dataframe_split")
    if isinstance(split, dict):
        few = {name: split[name][:_MOST_ROWS] for name in ("index", "data") if name in split}
        cut["dataframe_split"] = split | few
    return body | cut


def curl(endpoint: Endpoint, body: str, key: str) -> str:
    """A command that a POSIX shell runs as it stands. `key` is a key, or the name of a variable that holds it."""
    command = (
        f"curl {shlex.quote(endpoint.scoring_url)} \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
    )
    if len(body.encode()) <= _MOST_ARGUMENT:
        return f"{command}  -d {shlex.quote(body)}"
    return f"{command}  --data-binary @- <<'END_OF_BODY'\n{body}\nEND_OF_BODY"


def python(endpoint: Endpoint, body: str) -> str:
    """A Python program with the requests package; the key comes from the environment."""
    # json.dumps, since requests' own refuses NaN, which an input example may hold.
    return (
        "import json\nimport os\n\nimport requests\n\n"
        f"body = {python_literal(readable_json(json.loads(body)))}\n"
        "answer = requests.post(\n"
        f"    {json.dumps(endpoint.scoring_url)},\n"
        "    headers={\n"
        '        "Authorization": f"Bearer {os.environ[\'STUDIO_KEY\']}",\n'
        '        "Content-Type": "application/json",\n'
        "    },\n"
        "    data=json.dumps(body),\n    timeout=30,\n)\n"
        "answer.raise_for_status()\nprint(answer.json())\n"
    )


def send(endpoint: Endpoint, body: str) -> Answer:
    """Send a body to the endpoint the way every caller does: through the gateway, with the endpoint's key."""
    headers = {
        "Authorization": f"Bearer {services.primary_key(endpoint)}",
        "Content-Type": "application/json",
    }
    url = f"{gateway_url()}/endpoints/{endpoint.name}/invocations"
    started = time.monotonic()
    try:
        answer = httpx.post(
            url, content=body.encode(), headers=headers, timeout=_PATIENCE, trust_env=False
        )
    except httpx.HTTPError as failure:
        return Answer(
            0,
            f"The scoring gateway is not answering ({type(failure).__name__}): try again.",
            0,
            "",
        )
    took = (time.monotonic() - started) * 1000
    return Answer(
        answer.status_code,
        answer.text[:_LONGEST],
        took,
        answer.headers.get("studio-deployment", ""),
    )
