"""The steps of a deployment whose model lies in an S3 store."""

from __future__ import annotations

import gc
from collections.abc import Callable
from threading import Event

import httpx
import pytest
from django.test import Client

from endpoints import environments, logs, steps
from endpoints.agent import spawning
from endpoints.environments import Cancelled
from endpoints.models import Deployment
from endpoints.steps import StepFailed, Work
from studio.accounts.models import User
from studio.lib.errors import NotFound
from tests.support.processes import free_port
from tests.support.rows import make_version
from tests.support.s3 import KEY, SECRET, Server
from tests.support.serving import MLMODEL, deploy, last_attempt

MB = 1024 * 1024


@pytest.fixture
def work(bucket: Server, alice: User) -> Work:
    version = make_version("churn")
    assert (version.source or "").startswith("mlflow-artifacts:/")
    place = f"studio/{(version.source or '').removeprefix('mlflow-artifacts:/')}"
    bucket.put(f"{place}/MLmodel", MLMODEL.encode())
    bucket.put(f"{place}/data/model.pkl", bytes(20 * MB))
    bucket.put(f"{place}-other/MLmodel", b"another's")
    return work_of(deploy(alice, version))


def work_of(deployment: Deployment) -> Work:
    Deployment.objects.filter(pk=deployment.pk).update(
        storage=f"mlflow-artifacts:/models/{deployment.model_name}-{deployment.model_version}"
    )
    deployment.refresh_from_db()
    return Work(deployment, last_attempt(deployment), Event())


class AtLook(Event):
    """Set as soon as it has been looked at so many times: in the midst of a file, say."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks <= 0


def told(work: Work) -> str:
    return "\n".join(logs.read(logs.of_attempt(work.attempt)).lines)


def test_a_model_is_found_and_fetched_with_something_new_meanwhile(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert steps.resolve(work).told == "sklearn"
    monkeypatch.setattr(steps, "_TICK", 0.0)
    assert steps.fetch(work).told == "2 files, 21 MB"
    found = sorted(
        str(path.relative_to(work.model_folder)) for path in work.model_folder.rglob("*")
    )
    assert found == ["MLmodel", "data", "data/model.pkl"]
    assert (work.model_folder / "data" / "model.pkl").read_bytes() == bytes(20 * MB)
    assert len({line for line in told(work).splitlines() if " of 21 MB" in line}) >= 3


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # boto3's unread sockets
@pytest.mark.parametrize("looks", [1, 5])
def test_a_fetch_that_nobody_wants_any_more_leaves_nothing(work: Work, looks: int) -> None:
    lost = AtLook(looks)
    with pytest.raises(Cancelled):
        steps.fetch(Work(work.deployment, work.attempt, lost))
    gc.collect()
    assert not work.model_folder.exists()
    assert not work.model_folder.with_name(f"{work.deployment.pk}.new").exists()


def test_the_versions_page_tells_what_its_files_say(
    work: Work, as_alice: Client, bucket: Server
) -> None:
    page = as_alice.get("/models/churn/versions/1/").content.decode()
    assert "sklearn" in page and "3.17.2" in page
    httpx.post(f"{bucket.url}/moto-api/reset")
    away = as_alice.get("/models/churn/versions/1/")
    assert away.status_code == 200
    assert "The artifact store is out of reach: s3://team" in away.content.decode()


def test_files_in_another_bucket_are_not_fetched(work: Work, bucket: Server) -> None:
    bucket.put("studio/model/MLmodel", MLMODEL.encode(), bucket="elsewhere")
    Deployment.objects.filter(pk=work.deployment.pk).update(storage="s3://elsewhere/studio/model")
    work.deployment.refresh_from_db()
    with pytest.raises(NotFound, match="does not lie below STUDIO_ARTIFACTS"):
        steps.fetch(work)


@pytest.mark.parametrize("step", [steps.resolve, steps.fetch])
def test_a_store_that_is_away_is_told_and_tried_again(
    work: Work,
    step: Callable[[Work], object],
    bucket: Server,
    anew: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", dead)
    anew()
    with pytest.raises(StepFailed, match=f"out of reach: s3://team .* does not answer at {dead}"):
        step(work)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", bucket.url)
    anew()
    assert step(work)


def test_model_servers_and_builds_are_given_no_key_of_the_store(bucket: Server) -> None:
    environment = spawning.environment() | environments._environment()
    given = " ".join(f"{name}={value}" for name, value in environment.items())
    assert (
        KEY not in given and SECRET not in given and "AWS" not in given and bucket.url not in given
    )
