"""/api/v1/endpoints/{name}/deployments and their logs, as a program with a token calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints import logs
from endpoints.models import AttemptStep, Deployment, Endpoint, State, Wanted
from registry.models import ModelVersion, RegisteredModelAlias
from studio.accounts.models import AccessToken, AuditEvent, User
from studio.accounts.permissions import WORKSPACE
from tests.support.rows import make_version
from tests.support.serving import (
    enqueued,
    last_attempt,
    make_deployment,
    make_endpoint,
    make_replica,
)

URL = "/api/v1/endpoints/iris/deployments"
JSON = "application/json"


@pytest.fixture
def api(alice: User) -> Client:
    _, text = AccessToken.issue(user=alice, label="test")
    return Client(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)


def error(response: Any) -> dict[str, str]:
    return dict(response.json()["error"])


class TestCreate:
    def test_it_is_queued_and_where_to_look_is_told(
        self,
        api: Client,
        alice: User,
        iris: Endpoint,
        django_capture_on_commit_callbacks: Callable[..., Any],
    ) -> None:
        make_version("churn", 7)
        enqueued()
        body = {"name": "blue", "model_uri": "models:/churn/7"}
        with django_capture_on_commit_callbacks(execute=True):
            response = api.post(URL, body, JSON)
        assert response.status_code == 202
        assert response["Location"] == f"{URL}/blue"
        told = response.json()
        assert told.pop("created_at").endswith("Z")
        assert told == {
            "name": "blue",
            "model_uri": "models:/churn/7",
            "state": "queued",
            "step": "",
            "attempt": 1,
            "reason": "",
            "detail": "",
            "traffic": 0,
            "replicas": 1,
            "ready_replicas": 0,
            "memory_mb": 2048,
            "replica_list": [],
        }
        made = Deployment.objects.get()
        assert (made.created_by, made.endpoint) == (alice, iris)
        assert enqueued() == [made.pk]

    @pytest.mark.parametrize("uri", ["models:/churn/latest", "models:/churn@champion"])
    def test_a_moving_name_is_pinned_to_the_version_that_it_means_now(
        self, api: Client, iris: Endpoint, uri: str
    ) -> None:
        for number in (1, 2):
            make_version("churn", number)
        RegisteredModelAlias.objects.create(
            workspace=WORKSPACE, name="churn", alias="champion", version=2
        )
        body = {"name": "blue", "model_uri": uri}
        assert api.post(URL, body, JSON).json()["model_uri"] == "models:/churn/2"

    @pytest.mark.parametrize(
        "uri",
        ["models:/none-such/1", "models:/churn/2", "models:/churn@none", "models:/churn", "churn/1"]
        + ["runs:/0123/model", "models:/churn/" + "9" * 40, "models:/churn/1/", "s3://b/churn/1"],
    )
    def test_a_model_that_is_not_there_is_not_found_and_the_form_is_told(
        self, api: Client, iris: Endpoint, uri: str
    ) -> None:
        make_version("churn", 1)
        response = api.post(URL, {"name": "blue", "model_uri": uri}, JSON)
        assert response.status_code == 404
        told = error(response)["message"]
        assert uri in told
        assert "Write models:/NAME/VERSION or models:/NAME@ALIAS." in told
        assert not Deployment.objects.exists()

    def test_a_deleted_version_is_not_found(self, api: Client, iris: Endpoint) -> None:
        make_version("churn", 1, current_stage="Deleted_Internal")
        body = {"name": "blue", "model_uri": "models:/churn/1"}
        assert api.post(URL, body, JSON).status_code == 404

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"name": "blue"}, "model_uri: "),
            ({"model_uri": "models:/churn/1"}, "name: "),
            ({"name": "B", "model_uri": "models:/churn/1"}, "name: Use 3 to 32 characters"),
            ({"name": "blue", "model_uri": "x" * 501}, "model_uri: "),
            ({"name": "blue", "model_uri": "models:/chu\u0000rn/1"}, "model_uri: "),
        ],
    )
    def test_what_cannot_be_right_is_refused(
        self, api: Client, iris: Endpoint, body: dict[str, str], told: str
    ) -> None:
        make_version("churn", 1)
        response = api.post(URL, body, JSON)
        assert (response.status_code, error(response)["code"]) == (400, "invalid")
        assert error(response)["message"].startswith(told)

    def test_a_name_that_is_taken_is_a_conflict(
        self, api: Client, alice: User, iris: Endpoint
    ) -> None:
        make_version("churn", 1)
        make_deployment(alice, iris, "blue")
        response = api.post(URL, {"name": "blue", "model_uri": "models:/churn/1"}, JSON)
        assert response.status_code == 409
        assert "already has a deployment named 'blue'" in error(response)["message"]

    def test_an_endpoint_that_is_being_deleted_is_a_conflict(
        self, api: Client, iris: Endpoint
    ) -> None:
        make_version("churn", 1)
        Endpoint.objects.update(wanted=Wanted.GONE)
        response = api.post(URL, {"name": "blue", "model_uri": "models:/churn/1"}, JSON)
        assert (response.status_code, error(response)["code"]) == (409, "conflict")


class TestRead:
    def test_a_running_one_tells_its_step(self, api: Client, alice: User, iris: Endpoint) -> None:
        blue = make_deployment(alice, iris, state=State.BUILDING)
        attempt = last_attempt(blue)
        AttemptStep.objects.create(attempt=attempt, name=State.FETCHING, ended_at=now())
        AttemptStep.objects.create(attempt=attempt, name=State.BUILDING)
        told = api.get(f"{URL}/blue").json()
        assert (told["state"], told["step"]) == ("building", "building")

    def test_a_failed_one_tells_the_step_the_reason_and_the_detail(
        self, api: Client, alice: User, iris: Endpoint
    ) -> None:
        given = {"state": State.FAILED, "reason": "It did not load.", "detail": "ValueError: boom"}
        blue = make_deployment(alice, iris, **given)
        attempt = blue.attempts.create(number=2)
        AttemptStep.objects.create(attempt=attempt, name=State.FETCHING, ended_at=now())
        AttemptStep.objects.create(attempt=attempt, name=State.PROBING, ended_at=now(), failed=True)
        told = api.get(f"{URL}/blue").json()
        assert (told["state"], told["step"], told["attempt"]) == ("failed", "probing", 2)
        assert (told["reason"], told["detail"]) == ("It did not load.", "ValueError: boom")

    def test_a_live_one_is_at_no_step(self, api: Client, alice: User, iris: Endpoint) -> None:
        blue = make_deployment(alice, iris, state=State.LIVE, traffic=100)
        AttemptStep.objects.create(attempt=last_attempt(blue), name=State.TRYING, ended_at=now())
        told = api.get(f"{URL}/blue").json()
        assert (told["state"], told["step"], told["traffic"]) == ("live", "", 100)

    def test_the_list_has_those_of_this_endpoint_only(
        self, api: Client, alice: User, iris: Endpoint
    ) -> None:
        for name in ("blue", "green"):
            make_deployment(alice, iris, name)
        make_deployment(alice, make_endpoint(alice), "red")
        body = api.get(URL).json()
        assert [item["name"] for item in body["items"]] == ["blue", "green"]
        assert body["next"] is None

    def test_a_long_list_comes_in_pages(self, api: Client, alice: User, iris: Endpoint) -> None:
        for number in range(101):
            make_deployment(alice, iris, f"blue-{number:03}")
        first = api.get(URL).json()
        second = api.get(first["next"]).json()
        assert (len(first["items"]), len(second["items"])) == (100, 1)
        assert second["items"][0]["name"] == "blue-100"

    @pytest.mark.parametrize("count", [1, 30])
    def test_the_list_takes_as_many_statements_for_many_as_for_one(
        self,
        api: Client,
        alice: User,
        iris: Endpoint,
        count: int,
        django_assert_num_queries: Any,
    ) -> None:
        for number in range(count):
            blue = make_deployment(alice, iris, f"blue-{number}")
            AttemptStep.objects.create(attempt=last_attempt(blue), name=State.RESOLVING)
        api.get(URL)  # notes the use of the token
        with django_assert_num_queries(
            6
        ):  # token, endpoint, deployments, attempts, steps, replicas
            assert len(api.get(URL).json()["items"]) == count

    def test_one_that_is_not_there_is_named(self, api: Client, iris: Endpoint) -> None:
        response = api.get(f"{URL}/blue")
        assert response.status_code == 404
        assert error(response)["message"] == "The endpoint 'iris' has no deployment named 'blue'."

    def test_one_of_another_endpoint_is_not_there(
        self, api: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, make_endpoint(alice), "blue")
        assert api.get(f"{URL}/blue").status_code == 404


class TestRetry:
    def test_a_failed_one_is_tried_again(self, api: Client, alice: User, iris: Endpoint) -> None:
        make_deployment(alice, iris, state=State.FAILED, reason="no")
        response = api.post(f"{URL}/blue/retry")
        assert response.status_code == 202
        assert response["Location"] == f"{URL}/blue"
        told = response.json()
        assert (told["state"], told["attempt"], told["reason"]) == ("queued", 2, "")

    @pytest.mark.parametrize("state", [State.QUEUED, State.BUILDING, State.LIVE])
    def test_any_other_is_a_conflict(
        self, api: Client, alice: User, iris: Endpoint, state: State
    ) -> None:
        make_deployment(alice, iris, state=state)
        response = api.post(f"{URL}/blue/retry")
        assert (response.status_code, error(response)["code"]) == (409, "conflict")
        assert "only a failed one is tried again" in error(response)["message"]


class TestDelete:
    def test_it_is_ended_by_a_worker(self, api: Client, alice: User, iris: Endpoint) -> None:
        make_deployment(alice, iris, state=State.LIVE, traffic=100)
        response = api.delete(f"{URL}/blue")
        assert (response.status_code, response.content) == (202, b"")
        assert response.headers["Location"] == f"{URL}/blue"
        row = Deployment.objects.get()
        assert (row.wanted, row.traffic) == (Wanted.GONE, 0)
        assert AuditEvent.objects.get().target == "iris/blue"
        assert api.get(f"{URL}/blue").status_code == 200  # until it has ended


class TestLogs:
    @pytest.fixture
    def blue(self, alice: User, iris: Endpoint) -> Deployment:
        return make_deployment(alice, iris)

    def said(self, response: Any) -> list[str]:
        assert response.status_code == 200, response.content
        return [line[9:] for line in response.json()["items"]]

    def test_who_reads_on_gets_only_what_is_new(self, api: Client, blue: Deployment) -> None:
        path = logs.of_attempt(last_attempt(blue))
        assert api.get(f"{URL}/blue/logs").json() == {"items": [], "next": 0}
        logs.write(path, "one")
        first = api.get(f"{URL}/blue/logs")
        assert self.said(first) == ["one"]
        logs.write(path, "two")
        after = first.json()["next"]
        assert self.said(api.get(f"{URL}/blue/logs", {"after": after})) == ["two"]

    def test_a_huge_log_comes_in_pages(self, api: Client, blue: Deployment) -> None:
        path = logs.of_attempt(last_attempt(blue))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"00:00:00 line {number}\n" for number in range(30_000)))
        found, after = [], 0
        while lines := self.said(response := api.get(f"{URL}/blue/logs", {"after": after})):
            found += lines
            after = response.json()["next"]
        assert found == [f"line {number}" for number in range(30_000)]

    def test_each_attempt_has_its_own_and_the_last_is_shown(
        self, api: Client, blue: Deployment
    ) -> None:
        logs.write(logs.of_attempt(last_attempt(blue)), "first")
        blue.attempts.create(number=2)
        logs.write(logs.of_attempt(last_attempt(blue)), "second")
        assert self.said(api.get(f"{URL}/blue/logs")) == ["second"]
        assert self.said(api.get(f"{URL}/blue/logs", {"attempt": 1})) == ["first"]
        assert self.said(api.get(f"{URL}/blue/logs", {"attempt": 2})) == ["second"]

    def test_a_replica_has_its_own(self, api: Client, blue: Deployment) -> None:
        replica = make_replica(blue)
        logs.write(logs.of_replica(replica), "loading")
        assert self.said(api.get(f"{URL}/blue/logs", {"replica": replica.pk})) == ["loading"]

    def test_a_replica_of_another_deployment_is_not_shown(
        self, api: Client, alice: User, blue: Deployment
    ) -> None:
        other = make_replica(make_deployment(alice))
        logs.write(logs.of_replica(other), "not yours to read here")
        response = api.get(f"{URL}/blue/logs", {"replica": other.pk})
        assert response.status_code == 404
        assert "has no replica" in error(response)["message"]

    @pytest.mark.parametrize("attempt", [2, 10**17])
    def test_an_attempt_that_is_not_there_is_named(
        self, api: Client, blue: Deployment, attempt: int
    ) -> None:
        response = api.get(f"{URL}/blue/logs", {"attempt": attempt})
        assert response.status_code == 404
        assert error(response)["message"].endswith(f"has no attempt {attempt}.")

    @pytest.mark.parametrize("name", ["attempt", "replica", "after"])
    @pytest.mark.parametrize("value", ["-1", "one", "1.5", "9" * 19, "²", "0x1"])
    def test_what_is_no_number_is_refused(
        self, api: Client, blue: Deployment, name: str, value: str
    ) -> None:
        response = api.get(f"{URL}/blue/logs", {name: value})
        assert (response.status_code, error(response)["code"]) == (400, "invalid")
        assert error(response)["message"].startswith(f"{name}=")

    def test_beyond_the_end_it_is_read_from_the_beginning(
        self, api: Client, blue: Deployment
    ) -> None:
        logs.write(logs.of_attempt(last_attempt(blue)), "one")
        assert self.said(api.get(f"{URL}/blue/logs", {"after": 10**15})) == ["one"]


def test_the_model_version_of_a_deployment_may_be_deleted_meanwhile(
    api: Client, iris: Endpoint
) -> None:
    make_version("churn", 1)
    api.post(URL, {"name": "blue", "model_uri": "models:/churn/1"}, JSON)
    ModelVersion.objects.all().delete()
    assert api.get(f"{URL}/blue").json()["model_uri"] == "models:/churn/1"
