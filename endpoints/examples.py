"""A request to try an endpoint with, and how a program would send it."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from django.conf import settings

from endpoints import services
from endpoints.models import Deployment, Endpoint
from registry.mlmodel import read
from studio.lib.errors import Unservable
from studio.lib.text import readable_json

KEY_VARIABLE = "$STUDIO_KEY"
# For a model that says nothing of its input: the shape of a body, for a person to fill in.
_SHAPE = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}}
_PATIENCE = 35.0  # seconds: longer than the gateway's own
_LONGEST = 200_000  # characters of an answer that the page shows


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered to a test. `status` 0: it could not be reached."""

    status: int
    body: str
    milliseconds: float
    deployment: str


def body_for(deployment: Deployment | None) -> str:
    """A body as JSON text: the model's input example, zeros that fit its signature, or a shape."""
    body = None
    if deployment is not None:
        try:
            body = read(Path(settings.HOME.models) / str(deployment.pk)).body
        except Unservable:
            body = None  # not fetched yet, or not a model: the shape does
    return readable_json(body if body is not None else _SHAPE)


def curl(endpoint: Endpoint, body: str, key: str) -> str:
    """A command that a POSIX shell runs as it stands. `key` is a key, or the name of a variable that holds it."""
    return (
        f"curl {shlex.quote(endpoint.scoring_url)} \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )


def python(endpoint: Endpoint, body: str) -> str:
    """A Python program with the requests package; the key comes from the environment."""
    literal = json.dumps(json.dumps(json.loads(body)))
    return (
        "import json\nimport os\n\nimport requests\n\n"
        f"body = json.loads({literal})\n"
        "answer = requests.post(\n"
        f"    {json.dumps(endpoint.scoring_url)},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'STUDIO_KEY\']}"},\n'
        "    json=body,\n    timeout=30,\n)\n"
        "answer.raise_for_status()\nprint(answer.json())\n"
    )


def send(endpoint: Endpoint, body: str) -> Answer:
    """Send a body to the endpoint the way every caller does: through the gateway, with the endpoint's key."""
    headers = {
        "Authorization": f"Bearer {services.primary_key(endpoint)}",
        "Content-Type": "application/json",
    }
    url = f"http://{settings.SCORING_ADDRESS}/endpoints/{endpoint.name}/invocations"
    started = time.monotonic()
    try:
        answer = httpx.post(url, content=body.encode(), headers=headers, timeout=_PATIENCE)
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
