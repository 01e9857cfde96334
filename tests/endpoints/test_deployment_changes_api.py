"""PATCH of a deployment, and its stop, start and restart, as a program with a token calls them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints.models import ENDPOINT, Deployment, Endpoint, Replica, ReplicaState, State, Wanted
from studio.accounts.models import AccessToken, AuditEvent, Grant, Permission, User
from tests.support.rows import make_version
from tests.support.serving import make_deployment, make_replica

DEPLOYMENTS = "/api/v1/endpoints/iris/deployments"
BLUE = f"{DEPLOYMENTS}/blue"
JSON = "application/json"
STOPPED = {"state": State.STOPPED, "wanted": Wanted.STOPPED}


def program(user: User) -> Client:
    _, text = AccessToken.issue(user=user, label="test")
    return Client(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)


@pytest.fixture
def api(alice: User) -> Client:
    return program(alice)


def error(response: Any) -> tuple[int, str, str]:
    told = response.json()["error"]
    return response.status_code, told["code"], told["message"]


class TestSize:
    def test_it_is_made_as_large_as_asked(self, api: Client, iris: Endpoint) -> None:
        make_version("churn", 1)
        body = {"name": "blue", "model_uri": "models:/churn/1", "replicas": 3, "memory_mb": 512}
        told = api.post(DEPLOYMENTS, body, JSON)
        assert told.status_code == 202
        assert (told.json()["replicas"], told.json()["memory_mb"]) == (3, 512)
        row = Deployment.objects.get()
        assert (row.replicas_wanted, row.memory_mb) == (3, 512)

    @pytest.mark.parametrize(
        ("body", "after"),
        [
            ({"replicas": 8}, (8, 2048)),
            ({"memory_mb": 64}, (1, 64)),
            ({"replicas": 2, "memory_mb": 4096}, (2, 4096)),
            ({}, (1, 2048)),
        ],
    )
    def test_it_is_changed(
        self,
        api: Client,
        alice: User,
        iris: Endpoint,
        body: dict[str, int],
        after: tuple[int, int],
    ) -> None:
        make_deployment(alice, iris, state=State.LIVE)
        response = api.patch(BLUE, body, JSON)
        assert (response.status_code, response["Location"]) == (202, BLUE)
        assert (response.json()["replicas"], response.json()["memory_mb"]) == after
        row = Deployment.objects.get()
        assert (row.replicas_wanted, row.memory_mb) == after

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"replicas": 0}, "replicas: "),
            ({"replicas": 9}, "replicas: "),
            ({"replicas": None}, "replicas: "),
            ({"replicas": 1.5}, "replicas: "),
            ({"memory_mb": 63}, "memory_mb: "),
            ({"memory_mb": 10**30}, "memory_mb: "),
            ({"replicas": 2, "memory_mb": "much"}, "memory_mb: "),
        ],
    )
    def test_what_cannot_be_right_is_refused_and_nothing_changes(
        self, api: Client, alice: User, iris: Endpoint, body: dict[str, Any], told: str
    ) -> None:
        make_deployment(alice, iris, state=State.LIVE)
        status, code, message = error(api.patch(BLUE, body, JSON))
        assert (status, code) == (400, "invalid")
        assert told in message
        assert Deployment.objects.get().replicas_wanted == 1

    def test_its_replicas_are_told_one_by_one(
        self, api: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.LIVE, replicas_wanted=3)
        since = now()
        make_replica(
            blue, pid=4711, memory_bytes=98_304, cpu_percent=12.5, restarts=2, started_at=since
        )
        make_replica(blue, ReplicaState.GONE, reason="it ended by itself.", started_at=None)
        make_replica(blue, ReplicaState.READY, wanted=False)
        told = api.get(BLUE).json()
        assert (told["replicas"], told["ready_replicas"]) == (3, 1)
        first, gone, _ = Replica.objects.all()
        assert told["replica_list"][:2] == [
            {
                "id": first.pk,
                "state": "ready",
                "reason": "",
                "pid": 4711,
                "memory_bytes": 98_304,
                "cpu_percent": 12.5,
                "restarts": 2,
                "started_at": since.isoformat().replace("+00:00", "Z"),
            },
            {
                "id": gone.pk,
                "state": "gone",
                "reason": "it ended by itself.",
                "pid": None,
                "memory_bytes": None,
                "cpu_percent": None,
                "restarts": 0,
                "started_at": None,
            },
        ]


# What is asked, of a deployment that is so, and what it is then.
ACTS = [
    ("stop", {"state": State.LIVE}, Wanted.STOPPED, "live"),
    ("start", STOPPED, Wanted.LIVE, "queued"),
    ("restart", {"state": State.LIVE}, Wanted.LIVE, "live"),
]


class TestActs:
    @pytest.mark.parametrize(("act", "given", "wanted", "told"), ACTS)
    def test_it_is_accepted(
        self,
        api: Client,
        alice: User,
        iris: Endpoint,
        act: str,
        given: dict[str, str],
        wanted: Wanted,
        told: str,
    ) -> None:
        make_deployment(alice, iris, **given)
        response = api.post(f"{BLUE}/{act}")
        assert (response.status_code, response["Location"]) == (202, BLUE)
        assert response.json()["state"] == told
        assert Deployment.objects.get().wanted == wanted
        assert AuditEvent.objects.get().action == f"deployment.{act}"

    @pytest.mark.parametrize(
        ("act", "given", "told"),
        [
            ("stop", STOPPED, "The deployment iris/blue is stopped already."),
            ("stop", {"state": State.FAILED}, "has failed, and nothing of it runs"),
            ("start", {"state": State.LIVE}, "is live: only a stopped one is started"),
            ("restart", STOPPED, "is stopped: only a live one is restarted"),
            ("restart", {"state": State.BUILDING}, "only a live one is restarted"),
            ("stop", {"state": State.LIVE, "wanted": Wanted.GONE}, "is being deleted"),
        ],
    )
    def test_what_makes_no_sense_is_a_conflict(
        self,
        api: Client,
        alice: User,
        iris: Endpoint,
        act: str,
        given: dict[str, str],
        told: str,
    ) -> None:
        make_deployment(alice, iris, **given)
        status, code, message = error(api.post(f"{BLUE}/{act}"))
        assert (status, code) == (409, "conflict")
        assert told in message

    @pytest.mark.parametrize(("act", "given", "wanted", "told"), ACTS)
    def test_sent_again_with_its_key_it_is_done_once_and_answered_the_same(
        self,
        api: Client,
        alice: User,
        iris: Endpoint,
        act: str,
        given: dict[str, str],
        wanted: Wanted,
        told: str,
    ) -> None:
        make_deployment(alice, iris, **given)
        key = {"Idempotency-Key": "one"}
        first, again = (api.post(f"{BLUE}/{act}", headers=key) for _ in range(2))
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert first.status_code == 202
        assert AuditEvent.objects.filter(action=f"deployment.{act}").count() == 1

    @pytest.mark.parametrize(("permission", "status"), [("USE", 403), ("EDIT", 202)])
    @pytest.mark.parametrize("act", ["stop", "start", "restart", "patch"])
    def test_it_takes_edit_on_the_endpoint(
        self,
        alice: User,
        bob: User,
        iris: Endpoint,
        act: str,
        permission: str,
        status: int,
    ) -> None:
        make_deployment(alice, iris, **(STOPPED if act == "start" else {"state": State.LIVE}))
        Grant.objects.create(
            user=bob,
            resource_type=ENDPOINT,
            resource_id=str(iris.pk),
            permission=Permission(permission),
        )
        theirs = program(bob)
        if act == "patch":
            assert theirs.patch(BLUE, {"replicas": 2}, JSON).status_code == status
        else:
            assert theirs.post(f"{BLUE}/{act}").status_code == status
