"""Every route of MLflow's server, each method, naming real objects of somebody else: closed, or open for a reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.live import Studio
from tests.walk import foreign
from tests.walk.foreign import FREE, NOBODYS, SECRET, Named

# What any signed-in user may ask, and why. A pattern for the method and the path without /api/2.0/mlflow.
OPEN = {
    r"POST /experiments/create": "who creates an experiment manages it; a name that is taken is told, since names are unique",
    r"GET /experiments/get-by-name": "a client asks for the name before it creates it: 404 when it is free; taken is told by creating anyway",
    r"POST /registered-models/create": "who creates a model manages it; a name that is taken is told, since names are unique",
    r"POST /mcp-servers": "who creates one manages it",
    r"POST /gateway/(secrets|model-definitions|endpoints)/create": "who creates one manages it; what it refers to is checked",
    r"(GET|POST) /experiments/search": "answers with what the user may read",
    r"POST /logged-models/search": "answers with what the user may read",
    r"GET /(model-versions|registered-models)/search": "answers with what the user may read",
    r"POST /runs/search": "answers with what the user may read",
    r"GET /mcp-servers(/endpoints)?": "answers with what the user may read",
    r"GET /gateway/(secrets|model-definitions|endpoints)/list": "answers with what the user may read",
    r"GET /scorers/online-configs": "answers with what the user may read",
    r"POST /jobs/search": "answers with the user's own",
    r"POST /gateway/openai/v1/responses/compact": "MLflow finds no endpoint named in it, and refuses everybody",
    r"(GET|POST) /gateway-proxy": "lists the endpoints of a gateway that MLflow is not told of: none",
    r"GET /gateway/budgets/(get|list|windows)": "limits of spending on language models, for everybody who spends; no names",
    r"GET /gateway/(supported-providers|supported-models|provider-config|secrets/config)": "what MLflow knows of language models",
    r"POST /demo/generate": "makes a demonstration experiment, which its maker manages",
    r"GET /server-info": "what MLflow's server can do",
    r"GET /version": "the version of MLflow",
    r"(GET|POST) /ui-telemetry": "says that there is no telemetry",
    r"GET /users/current(/permissions)?": "the user's own",
    r"GET /users/list": "names of users, to whom one may give access",
    r"GET /workspaces": "says that workspaces are off",
    r"(GET|POST) /graphql": "answers with what the user may read",
    r"GET /gateway/mlflow/v1/models": "answers with what the user may read",
}
# Not MLflow's answer: Studio's own pages are there, or none.
NOT_FORWARDED = re.compile(r"/|/health|/signup|/build/.*|/static-files/.*|/api/2\.0mlflow/.*")


class Call(NamedTuple):
    method: str
    path: str

    def __str__(self) -> str:
        """Method and path, without what says only the version and who calls."""
        short = re.sub(r"^/(?:ajax-)?api/\d\.\d(?:/mlflow(?=/))?", "", self.path)
        return f"{self.method.replace('HEAD', 'GET')} {short}"

    def send(self, client: httpx.Client, named: Named) -> httpx.Response:
        path = re.sub(
            r"[<{](?:\w+:)?(\w+)(?::\w+)?[>}]", lambda m: named.path(m[1], self.path), self.path
        )
        body = named.body()
        if "presigned" in path:  # takes a run or a logged model, and no two
            del body["model_id"]
        query = {key: value for key, value in body.items() if not isinstance(value, dict)}
        headers = {"X-Mlflow-Experiment-Id": body["experiment_id"]}
        return client.request(self.method, path, params=query, json=body, headers=headers)

    @property
    def is_open(self) -> bool:
        return any(re.fullmatch(pattern, str(self)) for pattern in OPEN)


@pytest.fixture(scope="module")
def calls(live: Studio) -> list[Call]:
    program = Path(__file__).parents[1] / "studio/mlflow/routes_of_mlflow.py"
    environment = live.environment | {
        "DJANGO_SETTINGS_MODULE": "studio.settings",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    told = (json.loads(line) for line in done.stdout.splitlines())
    found = {
        Call(method, path)
        for path, *methods in told
        for method in methods
        if not NOT_FORWARDED.fullmatch(path)
    }
    return sorted(found)


@pytest.fixture(scope="module")
def theirs(live: Studio, token: str) -> Named:
    with live.client(token) as api:
        return foreign.make(api)


@pytest.fixture(scope="module")
def walker(live: Studio) -> Iterator[httpx.Client]:
    """A signed-in user to whom nothing was given. He has something of his own, and so a role of MLflow's."""
    made = "from studio.accounts.models import User; User.objects.create_user('walker')"
    live.manage("shell", "-c", made)
    with live.client(live.token("walker")) as client:
        own = {"name": "the walker's own"}
        assert client.post("/api/2.0/mlflow/experiments/create", json=own).status_code == 200
        yield client


def test_every_line_of_the_list_of_what_is_open_names_a_route(calls: list[Call]) -> None:
    assert len(calls) > 600
    unneeded = [line for line in OPEN if not any(re.fullmatch(line, str(call)) for call in calls)]
    assert unneeded == []


def test_nobody_is_answered_unsigned(live: Studio, calls: list[Call], theirs: Named) -> None:
    with httpx.Client(base_url=live.url, timeout=60) as nobody:
        answered = {str(call): call.send(nobody, theirs).status_code for call in calls}
    assert {call: status for call, status in answered.items() if status != 401} == {}


def test_a_stranger_gets_nothing_and_cannot_tell_what_is_there(
    live: Studio, token: str, calls: list[Call], theirs: Named, walker: httpx.Client
) -> None:
    with live.client(token) as owner:
        before = everything(owner, theirs)
        assert before.count(SECRET) > 20
        faults = [fault for call in calls for fault in _faults(call, theirs, walker)]
        assert faults == [], "\n".join(faults)
        assert everything(owner, theirs) == before


def _faults(call: Call, theirs: Named, walker: httpx.Client) -> Iterator[str]:
    if call.is_open:
        told = call.send(walker, FREE)
        if SECRET in told.text or told.status_code == 500:
            yield f"{call} fails or tells of what was not asked for: {told.text[:300]}"
        return
    missing, there = call.send(walker, NOBODYS), call.send(walker, theirs)
    if call.method == "OPTIONS" and there.status_code == 200 and not there.content:
        return  # the methods of a route, whatever it names
    if there.status_code not in (401, 403, 404):
        yield f"{call} is open: {there.status_code} {there.text[:200]}"
    if there.status_code != missing.status_code or _masked(there, theirs) != _masked(
        missing, NOBODYS
    ):
        yield f"{call} tells them apart: {there.status_code} {there.text[:120]} / {missing.status_code} {missing.text[:120]}"


def _masked(answer: httpx.Response, named: Named) -> str:
    """The answer without what the request itself has said."""
    text = answer.text
    for value in sorted(named.arguments.values(), key=len, reverse=True):
        text = text.replace(value, "N") if len(value) > 1 else text
    return text


def everything(owner: httpx.Client, theirs: Named) -> str:
    """What their owner sees of them, as text."""
    known: dict[str, Any] = theirs.arguments
    asked = [
        ("experiments/get", {"experiment_id": known["experiment_id"]}),
        ("runs/get", {"run_id": known["run_id"]}),
        ("registered-models/get", {"name": SECRET}),
        ("model-versions/get", {"name": SECRET, "version": "1"}),
        (f"logged-models/{known['model_id']}", {}),
        ("artifacts/list", {"run_id": known["run_id"]}),
    ]
    told = [owner.get(f"/api/2.0/mlflow/{path}", params=query) for path, query in asked]
    asked = [
        (f"traces/{known['trace_id']}", {}),
        (f"traces/{known['trace_id']}/assessments/{known['assessment_id']}", {}),
        (f"datasets/{known['dataset_id']}", {}),
        (f"issues/{known['issue_id']}", {}),
        ("label-schemas/get", {"schema_id": known["schema_id"]}),
        ("review-queues/get", {"queue_id": known["queue_id"]}),
        ("scorers/get", {"experiment_id": known["experiment_id"], "name": SECRET}),
        (f"mcp-servers/com.example/{SECRET}", {}),
        ("gateway/secrets/get", {"secret_id": known["secret_id"]}),
        ("gateway/model-definitions/get", {"model_definition_id": known["model_definition_id"]}),
        ("gateway/endpoints/get", {"endpoint_id": known["endpoint_id"]}),
        ("gateway/budgets/get", {"budget_policy_id": known["budget_policy_id"]}),
        ("users/permissions/list", {"username": "admin"}),
        ("users/roles/list", {"username": "admin"}),
    ]
    told += [owner.get(f"/api/3.0/mlflow/{path}", params=query) for path, query in asked]
    told.append(owner.get("/api/2.0/mlflow/users/get", params={"username": "admin"}))
    assert [answer.url.path for answer in told if answer.status_code != 200] == []
    return "\n".join(answer.text for answer in told)
