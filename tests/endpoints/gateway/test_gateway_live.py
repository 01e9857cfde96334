"""A user's token on a whole running Studio: it scores by a grant, and no longer than that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import monotonic, time

import httpx
import mlflow
import pytest

from tests.endpoints.gateway.kit import frozen
from tests.support.live import Studio
from tests.support.processes import until
from tests.support.training import Trained, client_of, train_iris

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other

# What ends the access of which user, as the process that serves the pages would do it.
ENDS = {
    "ungranted": "services.take(user=user, **of, by=by)",
    "revoked": "services.revoke_token(token=user.tokens.get(), by=by)",
    "disabled": "user.is_active = False; user.save()",
}
USING = tuple(ENDS)


@dataclass(frozen=True)
class Served:
    """A model that is live on an endpoint."""

    studio: Studio
    address: str
    trained: Trained

    def score(self, secret: str) -> httpx.Response:
        body = {"dataframe_split": {"columns": self.trained.columns, "data": self.trained.rows}}
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.post(self.address, json=body, headers=headers)

    def run(self, lines: str) -> str:
        """Run Python with Studio's models, in a process of its own, and return what it prints."""
        return self.studio.manage("shell", "--verbosity=0", "-c", f"{_IMPORTS}\n{lines}")

    def outlives(self, secret: str, end: Callable[[], float]) -> float:
        """Seconds for which a secret still scores after what ends it was committed.

        `end` returns when that was.
        """
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(end)
            accepted = [*self._accepted(secret)]
            return accepted[-1] - ended.result()

    def _accepted(self, secret: str) -> Iterator[float]:
        """When requests were sent that were answered, until one is refused."""
        deadline = monotonic() + 30
        while monotonic() < deadline:
            sent, answer = time(), self.score(secret)
            if answer.status_code == 401:
                return
            assert answer.json() == {"predictions": self.trained.labels}
            yield sent
        raise AssertionError("the secret scores for ever")


_IMPORTS = """
from time import time
from endpoints.models import Endpoint
from studio.accounts import services
from studio.accounts.models import Permission, User
by = User.objects.get(username="admin")
of = {"resource_type": "endpoint", "resource_id": str(Endpoint.objects.get(name="granted").pk)}
"""


@pytest.fixture(scope="module")
def served(live: Studio, token: str) -> Iterator[Served]:
    with client_of(live.url, token):
        trained = train_iris("gateway grants")
        mlflow.register_model(f"models:/{trained.model_id}", "granted-iris")
    with live.client(token) as api:
        api.post("/api/v1/endpoints", json={"name": "granted"}).raise_for_status()
        wanted = {"name": "blue", "model_uri": "models:/granted-iris/1"}
        place = api.post("/api/v1/endpoints/granted/deployments", json=wanted).headers["Location"]
        until(lambda: api.get(place).json()["state"] == "live", "the deployment is live", 90)
        yield Served(live, api.get("/api/v1/endpoints/granted").json()["scoring_url"], trained)


@pytest.fixture(scope="module")
def tokens(served: Served) -> dict[str, str]:
    """Of users with USE on the endpoint, by their names, and of one with READ. The gateway knows them."""
    made = served.run(f"""
for name in {(*USING, "reader")!r}:
    user = User.objects.create_user(name)
    services.give(user=user, **of, permission=Permission("READ" if name == "reader" else "USE"), by=by)
    print(services.issue_token(user=user, label="test", by=user)[1])
""")
    tokens = dict(zip((*USING, "reader"), made.split(), strict=True))
    until(lambda: served.score(tokens[USING[-1]]).status_code == 200, "the last one scores", 5)
    return tokens


def test_a_user_scores_by_a_grant_and_others_are_told_nothing(
    served: Served, tokens: dict[str, str]
) -> None:
    for name in USING:
        answer = served.score(tokens[name])
        assert (answer.status_code, answer.json()) == (200, {"predictions": served.trained.labels})
    unknown = replace(served, address=served.address.replace("/granted/", "/unknown/"))
    refused = [
        served.score(tokens["reader"]),  # sees the endpoint in Studio, and may not score
        served.score("studio_wrong"),
        unknown.score(tokens[USING[0]]),
        unknown.score("studio_wrong"),
    ]
    assert {answer.status_code for answer in refused} == {401}
    assert len({answer.content for answer in refused}) == 1


def test_it_scores_while_postgresql_is_stopped(served: Served, tokens: dict[str, str]) -> None:
    status = json.loads(served.studio.manage("status", "--json"))
    [pid] = [process["pid"] for process in status["processes"] if process["name"] == "postgres"]
    with frozen(pid):
        deadline = monotonic() + 2
        while monotonic() < deadline:
            assert served.score(tokens[USING[0]]).status_code == 200
            assert served.score(tokens["reader"]).status_code == 401


@pytest.mark.parametrize(("name", "end"), ENDS.items(), ids=list(ENDS))
def test_within_a_second_of_its_end_a_token_scores_no_more(
    served: Served, tokens: dict[str, str], name: str, end: str
) -> None:
    def run() -> float:
        return float(
            served.run(f"user = User.objects.get(username={name!r})\n{end}\nprint(time())")
        )

    assert served.outlives(tokens[name], run) < 1
