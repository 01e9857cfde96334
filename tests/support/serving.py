"""Endpoints and deployments as people make them, and what stands around them played by the test."""

from __future__ import annotations

import base64
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.utils.timezone import now

from endpoints import environments, interpreters, lifecycle, requirements, services
from endpoints.agent.telling import teller
from endpoints.models import Attempt, Deployment, Endpoint, Replica, ReplicaState
from registry.models import ModelVersion
from studio.accounts.models import User
from studio.accounts.permissions import WORKSPACE
from tests.support.processes import until
from tests.support.rows import make_version

_numbers = itertools.count(1)
STANDIN = Path(__file__).parent / "standin"
SIGNATURE = """
signature:
  inputs: '[{"name": "x", "type": "double", "required": true}]'
"""
MLMODEL = """
flavors:
  python_function:
    loader_module: mlflow.sklearn
  sklearn: {}
mlflow_version: 3.17.2
"""
WITH_EXAMPLE = f"""{MLMODEL}
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
"""
NO_PYFUNC = """
flavors:
  spark: {}
mlflow_version: 3.17.2
"""


def make_endpoint(by: User, name: str = "", description: str = "") -> Endpoint:
    return services.create_endpoint(
        name=name or f"endpoint-{next(_numbers)}", description=description, by=by
    )


def make_deployment(
    by: User, endpoint: Endpoint | None = None, name: str = "blue", **given: Any
) -> Deployment:
    """As a person makes it, of a version that need not exist; `given` are fields as they became since."""
    version = ModelVersion(workspace=WORKSPACE, name="churn", version=1)
    endpoint = endpoint or make_endpoint(by)
    deployment = services.deploy(endpoint=endpoint, version=version, name=name, by=by)
    if given:
        Deployment.objects.filter(pk=deployment.pk).update(**given)
        deployment.refresh_from_db()
    return deployment


def deploy(by: User, version: ModelVersion, endpoint: Endpoint | None = None) -> Deployment:
    return services.deploy(
        endpoint=endpoint or make_endpoint(by), version=version, name="blue", by=by
    )


def last_attempt(deployment: Deployment) -> Attempt:
    found = deployment.attempts.first()
    assert found is not None
    return found


def make_replica(
    deployment: Deployment, state: ReplicaState = ReplicaState.READY, **given: Any
) -> Replica:
    fields = {"started_at": now()} | given
    return Replica.objects.create(
        deployment=deployment, attempt=last_attempt(deployment), state=state, **fields
    )


def servable(mlmodel: str = MLMODEL, **files: str) -> ModelVersion:
    """A registered version with the files of a model. Its environment counts as built already."""
    name = f"churn-{next(_numbers)}"
    given = {"MLmodel": mlmodel, "requirements.txt": "mlflow==3.17.2\n"}
    environment_of_servable().mkdir(parents=True, exist_ok=True)
    return make_version(name, files=given | files)


def environment_of_servable() -> Path:
    minor, _ = interpreters.own()
    key = requirements.Requirements(("mlflow==3.17.2",), "3.11").key(minor)
    return environments.folder(key)


def settle(deployment: Deployment) -> Deployment:
    """Reconcile until nothing is left to do, as the tasks do. Returns the deployment as it is then."""
    for _ in range(30):
        if not lifecycle.reconcile(deployment.pk):
            return Deployment.objects.get(pk=deployment.pk)
    raise AssertionError(f"{deployment} is reconciled for ever")


def play_engine(deployment: Deployment, **fields: Any) -> Replica:
    """Write what the engine would about the newest replica: `state`, `started_at`, `reason` and so on."""
    replica = Replica.objects.filter(deployment=deployment).latest("pk")
    Replica.objects.filter(pk=replica.pk).update(**fields)
    replica.refresh_from_db()
    return replica


def bring_live(deployment: Deployment) -> Deployment:
    """All the way to live, for a model without an input example."""
    settle(deployment)
    play_engine(deployment, state=ReplicaState.READY, started_at=now())
    return settle(deployment)


def enqueued() -> list[int]:
    """The deployments that the broker was told to have reconciled, in order; told once."""
    until(teller.settled, "the broker was told")
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        messages: Any = broker.lrange("celery", 0, -1)
        broker.delete("celery")
    bodies = [json.loads(base64.b64decode(json.loads(message)["body"])) for message in messages]
    return [arguments[0] for arguments, *_ in reversed(bodies)]


def make_runnable(deployment: Deployment, behaviour: str) -> Replica:
    """A replica that an agent can start: an environment made by hand, and a stand-in that behaves as told."""
    place = environments.folder("standin") / "bin"
    place.mkdir(parents=True, exist_ok=True)
    python = place / "python"
    if not python.exists():
        python.write_text(f'#!/bin/sh\nPYTHONPATH={STANDIN} exec {sys.executable} -S "$@"\n')
        python.chmod(0o755)
    model = Path(settings.HOME.models) / str(deployment.pk)
    model.mkdir(parents=True, exist_ok=True)
    (model / "behaviour").write_text(behaviour)
    settings.HOME.make()
    Deployment.objects.filter(pk=deployment.pk).update(environment="standin")
    return Replica.objects.create(deployment=deployment, attempt=last_attempt(deployment))
