"""A POST with an Idempotency-Key that is sent again is answered as the first time, and done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils.timezone import now

from endpoints.models import Attempt, Deployment, Endpoint, State
from endpoints.services import primary_key
from studio.accounts.models import AccessToken, AuditEvent, IdempotentRequest, User
from tests.support.processes import until
from tests.support.rows import make_version
from tests.support.serving import make_deployment, make_endpoint

ENDPOINTS = "/api/v1/endpoints"
DEPLOYMENTS = f"{ENDPOINTS}/iris/deployments"
TOKENS = "/api/v1/tokens"


def client_of(user: User) -> Client:
    _, text = AccessToken.issue(user=user, label="test")
    return Client(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)


@pytest.fixture
def api(alice: User) -> Client:
    return client_of(alice)


def post(client: Client, path: str, body: Any, key: str | None = "the-key") -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(path, body, "application/json", headers=headers)


def told(response: Any) -> tuple[int, Any, str | None]:
    return response.status_code, response.json(), response.headers.get("Location")


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


class TestAgain:
    def test_an_endpoint_is_made_once(self, api: Client) -> None:
        first = post(api, ENDPOINTS, {"name": "iris"})
        again = post(api, ENDPOINTS, {"name": "iris"})
        assert told(again) == told(first)
        assert told(first)[::2] == (201, f"{ENDPOINTS}/iris")
        assert Endpoint.objects.count() == 1
        assert "Idempotent-Replayed" not in first
        assert again["Idempotent-Replayed"] == "true"

    def test_a_key_is_replaced_once(self, api: Client, alice: User) -> None:
        endpoint = make_endpoint(alice, "iris")
        path = f"{ENDPOINTS}/iris/keys/regenerate"
        first = post(api, path, {"key": "primary"})
        again = post(api, path, {"key": "primary"})
        assert told(again) == told(first)
        endpoint.refresh_from_db()
        assert primary_key(endpoint) == first.json()["primary"]

    def test_a_deployment_is_made_once_and_told_as_it_was_then(
        self, api: Client, alice: User
    ) -> None:
        make_endpoint(alice, "iris")
        make_version("churn", 1)
        body = {"name": "blue", "model_uri": "models:/churn/1"}
        first = post(api, DEPLOYMENTS, body)
        Deployment.objects.update(state=State.LIVE)
        again = post(api, DEPLOYMENTS, body)
        assert told(again) == told(first)
        assert told(again)[0] == 202
        assert again.json()["state"] == "queued"
        assert Deployment.objects.count() == 1

    def test_a_token_is_issued_once_and_its_text_told_again(self, api: Client) -> None:
        first = post(api, TOKENS, {"label": "ci"})
        again = post(api, TOKENS, {"label": "ci"})
        assert told(again) == told(first)
        assert AccessToken.objects.filter(label="ci").count() == 1
        assert AuditEvent.objects.filter(action="token.issue").count() == 1
        answer = Client().get(TOKENS, headers={"Authorization": f"Bearer {again.json()['token']}"})
        assert answer.status_code == 200

    def test_a_retry_makes_one_attempt(self, api: Client, alice: User) -> None:
        blue = make_deployment(alice, make_endpoint(alice, "iris"), state=State.FAILED)
        path = f"{DEPLOYMENTS}/blue/retry"
        first = post(api, path, {})
        Deployment.objects.update(state=State.FAILED)
        assert told(post(api, path, {})) == told(first)
        assert Attempt.objects.filter(deployment=blue).count() == 2
        assert post(api, path, {}, "another").json()["attempt"] == 3

    def test_without_a_key_nothing_is_remembered(self, api: Client) -> None:
        assert [post(api, TOKENS, {"label": "ci"}, None).status_code for _ in "12"] == [201, 201]
        assert AccessToken.objects.filter(label="ci").count() == 2
        assert not IdempotentRequest.objects.exists()


class TestWhatIsTheSame:
    @pytest.mark.parametrize("body", [{"label": "other"}, {"label": "ci", "more": 1}, {}, "["])
    def test_another_body_with_the_same_key_is_refused(self, api: Client, body: Any) -> None:
        post(api, TOKENS, {"label": "ci"})
        response = post(api, TOKENS, body)
        assert error(response) == (422, "idempotency_key_reused")
        assert "use a new key for a new request" in response.json()["error"]["message"]
        assert AccessToken.objects.filter(label="other").count() == 0

    def test_another_key_is_another_request(self, api: Client) -> None:
        first, second = (post(api, TOKENS, {"label": "ci"}, key) for key in ("one", "two"))
        assert first.json()["token"] != second.json()["token"]

    def test_another_path_is_another_request(self, api: Client) -> None:
        assert post(api, ENDPOINTS, {"name": "iris"}).status_code == 201
        assert post(api, TOKENS, {"label": "iris"}).status_code == 201

    def test_another_user_with_the_same_key_gets_their_own(self, api: Client, bob: User) -> None:
        first = post(api, TOKENS, {"label": "ci"})
        second = post(client_of(bob), TOKENS, {"label": "ci"})
        assert second.status_code == 201
        assert second.json()["token"] != first.json()["token"]
        assert AccessToken.objects.filter(user=bob, label="ci").count() == 1

    def test_after_a_day_it_is_done_again(self, api: Client) -> None:
        first = post(api, TOKENS, {"label": "ci"})
        IdempotentRequest.objects.update(created_at=now() - timedelta(hours=23, minutes=59))
        assert told(post(api, TOKENS, {"label": "ci"})) == told(first)
        IdempotentRequest.objects.update(created_at=now() - timedelta(hours=24, seconds=1))
        again = post(api, TOKENS, {"label": "ci"})
        assert again.json()["token"] != first.json()["token"]
        assert told(post(api, TOKENS, {"label": "ci"})) == told(again)

    @pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "tab\there"])
    def test_a_key_against_the_rule_is_refused(self, api: Client, key: str) -> None:
        assert error(post(api, TOKENS, {"label": "ci"}, key)) == (400, "invalid")
        assert not AccessToken.objects.filter(label="ci").exists()

    @pytest.mark.parametrize(
        "key", ["x", "x" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", '"!~"']
    )
    def test_visible_characters_are_a_key(self, api: Client, key: str) -> None:
        first = post(api, TOKENS, {"label": "ci"}, key)
        assert told(post(api, TOKENS, {"label": "ci"}, key)) == told(first)


class TestWhatIsNotRemembered:
    def test_a_conflict(self, api: Client, alice: User) -> None:
        make_endpoint(alice, "iris")
        assert error(post(api, ENDPOINTS, {"name": "iris"})) == (409, "conflict")
        Endpoint.objects.all().delete()
        assert post(api, ENDPOINTS, {"name": "iris"}).status_code == 201

    def test_a_body_that_was_refused_may_be_mended_under_the_same_key(self, api: Client) -> None:
        assert error(post(api, ENDPOINTS, {"name": "I"})) == (400, "invalid")
        assert post(api, ENDPOINTS, {"name": "iris"}).status_code == 201

    def test_what_was_not_found(self, api: Client, alice: User) -> None:
        make_endpoint(alice, "iris")
        body = {"name": "blue", "model_uri": "models:/churn/1"}
        assert error(post(api, DEPLOYMENTS, body)) == (404, "not_found")
        make_version("churn", 1)
        assert post(api, DEPLOYMENTS, body).status_code == 202

    def test_a_failure_inside_studio_leaves_nothing_half_done(
        self, api: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("rest_framework.renderers.JSONRenderer.render", explode)
            response = post(api, TOKENS, {"label": "ci"})
        assert response.status_code == 500
        assert not AccessToken.objects.filter(label="ci").exists()
        assert post(api, TOKENS, {"label": "ci"}).status_code == 201


def explode(*_: object, **__: object) -> bytes:
    raise RuntimeError("no memory")


class TestStore:
    def test_no_secret_lies_in_clear_in_the_database(self, api: Client) -> None:
        text = post(api, TOKENS, {"label": "a label of ours"}).json()["token"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_jsonb(r)::text FROM accounts_idempotentrequest r")
            ((row,),) = cursor.fetchall()
        assert text not in row
        assert "a label of ours" not in row

    def test_old_rows_go_when_new_ones_come(self, api: Client) -> None:
        for key in "abc":
            post(api, TOKENS, {"label": key}, key)
        IdempotentRequest.objects.exclude(key="c").update(created_at=now() - timedelta(hours=25))
        post(api, TOKENS, {"label": "d"}, "d")
        assert sorted(IdempotentRequest.objects.values_list("key", flat=True)) == ["c", "d"]

    def test_it_goes_with_its_user(self, api: Client, alice: User) -> None:
        post(api, TOKENS, {"label": "ci"})
        alice.delete()
        assert not IdempotentRequest.objects.exists()


def test_the_schema_tells_of_it(api: Client) -> None:
    paths = api.get(
        "/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"}
    ).json()["paths"]
    for path, method in (
        (ENDPOINTS, "post"),
        (f"{ENDPOINTS}/{{name}}/deployments", "post"),
        *(
            (f"{ENDPOINTS}/{{name}}/deployments/{{deployment}}/{act}", "post")
            for act in ("retry", "stop", "start", "restart")
        ),
        (TOKENS, "post"),
    ):
        operation = paths[path][method]
        (header,) = (p for p in operation["parameters"] if p["in"] == "header")
        assert header["name"] == "Idempotency-Key"
        assert "24 hours" in header["description"]
        assert not header.get("required", False)
        assert {"409", "422"} <= set(operation["responses"])
    assert not any(p["in"] == "header" for p in paths[ENDPOINTS]["get"].get("parameters", []))


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.fixture
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(8) as pool:
            yield pool

    def apart(self, threads: ThreadPoolExecutor, ask: Callable[[], Any]) -> Future[Any]:
        def run() -> Any:
            try:
                return ask()
            finally:
                connection.close()

        return threads.submit(run)

    def test_while_the_first_is_being_answered_the_second_is_told_to_wait(
        self, api: Client, alice: User, threads: ThreadPoolExecutor
    ) -> None:
        def waits() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return bool(cursor.fetchone()[0])

        with transaction.atomic():
            make_endpoint(alice, "iris")  # whoever wants this name waits for our end
            first = self.apart(threads, lambda: post(api, ENDPOINTS, {"name": "iris"}))
            until(waits, "the first waits")
            second = post(api, ENDPOINTS, {"name": "iris"})
            assert error(second) == (409, "conflict")
            assert "still being answered: try again" in second.json()["error"]["message"]
            transaction.set_rollback(True)
        answer = first.result(10)
        assert answer.status_code == 201
        assert told(post(api, ENDPOINTS, {"name": "iris"})) == told(answer)

    def test_of_many_at_once_one_does_it(self, api: Client, threads: ThreadPoolExecutor) -> None:
        asked = [self.apart(threads, lambda: post(api, TOKENS, {"label": "ci"})) for _ in range(8)]
        answers = [future.result(20) for future in asked]
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["token"] for answer in answers if answer.status_code == 201}) == 1
        assert AccessToken.objects.filter(label="ci").count() == 1
        assert post(api, TOKENS, {"label": "ci"}).status_code == 201
