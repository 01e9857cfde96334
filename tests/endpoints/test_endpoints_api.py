"""/api/v1/endpoints and its keys, as a program with a token calls them."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from endpoints import services
from endpoints.models import Endpoint, ReplicaState, State, Wanted
from studio.accounts.models import AccessToken, AuditEvent, User
from studio.lib.secrets import digest
from tests.support.serving import make_deployment, make_endpoint, make_replica

URL = "/api/v1/endpoints"
JSON = "application/json"


def client_of(user: User) -> Client:
    _, text = AccessToken.issue(user=user, label="test")
    return Client(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)


@pytest.fixture
def api(alice: User) -> Client:
    return client_of(alice)


@pytest.fixture
def strange(bob: User) -> Client:
    return client_of(bob)


def error(response: Any) -> dict[str, str]:
    """The error of an answer, which has the one shape that all have."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "step", "detail"}
    return dict(body["error"])


class TestCreate:
    def test_it_is_made_and_told(self, api: Client, alice: User) -> None:
        response = api.post(URL, {"name": "iris", "description": "For the shop."}, JSON)
        assert response.status_code == 201
        assert response["Location"] == f"{URL}/iris"
        body = response.json()
        assert body.pop("created_at").endswith("Z")
        assert body == {
            "name": "iris",
            "description": "For the shop.",
            "state": "empty",
            "scoring_url": f"{settings.SCORING_URL}/endpoints/iris/invocations",
            "traffic": {},
        }
        assert Endpoint.objects.get().created_by == alice
        assert api.get(response["Location"]).status_code == 200

    @pytest.mark.parametrize(
        "name",
        ["ab", "Iris", "1ris", "iris-", "i" * 33, "i ris", "i/ris", "", None, 7, "iris\u0000"],
    )
    def test_a_name_against_the_rule_is_refused(self, api: Client, name: Any) -> None:
        response = api.post(URL, {"name": name}, JSON)
        assert response.status_code == 400
        told = error(response)
        assert told["code"] == "invalid"
        assert told["message"].startswith("name: ")
        assert not Endpoint.objects.exists()

    def test_the_rule_is_told_to_who_breaks_it(self, api: Client) -> None:
        told = error(api.post(URL, {"name": "My Model"}, JSON))["message"]
        assert told.startswith("name: Use 3 to 32 characters: small letters, digits and dashes")

    @pytest.mark.parametrize(
        ("body", "kind", "status", "code"),
        [
            ("{}", JSON, 400, "invalid"),
            ("[]", JSON, 400, "invalid"),
            ("{broken", JSON, 400, "parse_error"),
            ("name=iris", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
            ('{"name": "iris", "description": ["x"]}', JSON, 400, "invalid"),
        ],
    )
    def test_a_body_that_is_not_what_it_should_be_is_refused(
        self, api: Client, body: str, kind: str, status: int, code: str
    ) -> None:
        response = api.post(URL, body, kind)
        assert (response.status_code, error(response)["code"]) == (status, code)

    def test_a_name_that_is_taken_is_a_conflict(self, api: Client, alice: User) -> None:
        make_endpoint(alice, "iris")
        response = api.post(URL, {"name": "iris"}, JSON)
        assert response.status_code == 409
        assert error(response)["code"] == "conflict"
        assert "already an endpoint named 'iris'" in error(response)["message"]


class TestRead:
    def test_it_tells_its_state_and_traffic(self, api: Client, alice: User) -> None:
        endpoint = make_endpoint(alice, "iris", "About flowers")
        make_replica(make_deployment(alice, endpoint, "blue", state=State.LIVE, traffic=100))
        make_deployment(alice, endpoint, "green")
        body = api.get(f"{URL}/iris").json()
        assert body["state"] == "live"
        assert body["traffic"] == {"blue": 100, "green": 0}
        assert body["description"] == "About flowers"

    def test_no_key_and_no_digest_is_ever_in_it(self, api: Client, alice: User) -> None:
        endpoint = make_endpoint(alice, "iris")
        told = api.get(f"{URL}/iris").content.decode() + api.get(URL).content.decode()
        keys = services.reveal_keys(endpoint=endpoint, by=alice)
        for secret in (*keys.values(), endpoint.primary_key, endpoint.primary_digest):
            assert secret not in told

    def test_the_list_has_the_newest_first(self, api: Client, alice: User) -> None:
        for name in ("one", "two", "three"):
            make_endpoint(alice, name)
        body = api.get(URL).json()
        assert [item["name"] for item in body["items"]] == ["three", "two", "one"]
        assert body["next"] is None

    def test_a_long_list_comes_in_pages(self, api: Client, alice: User) -> None:
        for number in range(101):
            make_endpoint(alice, f"endpoint-{number}")
        first = api.get(URL).json()
        assert len(first["items"]) == 100
        assert first["next"] == f"{URL}?page=2"
        second = api.get(first["next"]).json()
        assert [item["name"] for item in second["items"]] == ["endpoint-0"]
        assert second["next"] is None

    @pytest.mark.parametrize("page", ["0", "-1", "two", "1e3", "9" * 30])
    def test_a_page_that_is_no_number_is_refused(self, api: Client, page: str) -> None:
        response = api.get(URL, {"page": page})
        assert (response.status_code, error(response)["code"]) == (400, "invalid")

    def test_a_page_behind_the_last_is_empty(self, api: Client) -> None:
        assert api.get(URL, {"page": "9"}).json() == {"items": [], "next": None}

    @pytest.mark.parametrize("count", [1, 30])
    def test_the_list_takes_as_many_statements_for_many_as_for_one(
        self, api: Client, alice: User, count: int, django_assert_num_queries: Any
    ) -> None:
        for number in range(count):
            endpoint = make_endpoint(alice, f"endpoint-{number}")
            for name in ("blue", "green"):
                make_replica(make_deployment(alice, endpoint, name, state=State.LIVE))
        api.get(URL)  # notes the use of the token
        with django_assert_num_queries(4):  # token and user, endpoints, deployments, replicas
            assert len(api.get(URL).json()["items"]) == count


class TestChange:
    def test_a_description_is_replaced(self, api: Client, alice: User) -> None:
        make_endpoint(alice, "iris", "old")
        response = api.patch(f"{URL}/iris", {"description": "new"}, JSON)
        assert response.status_code == 200
        assert response.json()["description"] == "new"
        assert Endpoint.objects.get().description == "new"
        assert api.patch(f"{URL}/iris", {"description": ""}, JSON).json()["description"] == ""

    @pytest.mark.parametrize("body", [{}, {"description": None}, {"description": "x" * 5001}, []])
    def test_what_is_no_description_is_refused(self, api: Client, alice: User, body: Any) -> None:
        make_endpoint(alice, "iris", "old")
        response = api.patch(f"{URL}/iris", body, JSON)
        assert (response.status_code, error(response)["code"]) == (400, "invalid")
        assert Endpoint.objects.get().description == "old"

    def test_the_name_stays_whatever_is_sent(self, api: Client, alice: User) -> None:
        make_endpoint(alice, "iris")
        api.patch(f"{URL}/iris", {"name": "other", "description": "x"}, JSON)
        assert Endpoint.objects.get().name == "iris"


class TestDelete:
    def test_an_empty_one_is_gone(self, api: Client, alice: User) -> None:
        make_endpoint(alice, "iris")
        response = api.delete(f"{URL}/iris")
        assert (response.status_code, response.content) == (202, b"")
        assert response.headers["Location"] == f"{URL}/iris"
        assert api.get(response.headers["Location"]).status_code == 404

    def test_one_with_deployments_is_told_as_updating_until_they_have_ended(
        self, api: Client, alice: User
    ) -> None:
        make_deployment(alice, make_endpoint(alice, "iris"), state=State.LIVE)
        assert api.delete(f"{URL}/iris").status_code == 202
        assert Endpoint.objects.get().wanted == Wanted.GONE
        assert api.get(f"{URL}/iris").json()["state"] == "updating"

    def test_twice_is_not_an_error_while_it_is_there(self, api: Client, alice: User) -> None:
        make_deployment(alice, make_endpoint(alice, "iris"))
        assert [api.delete(f"{URL}/iris").status_code for _ in range(2)] == [202, 202]


class TestKeys:
    def test_they_are_shown_not_stored_on_the_way_and_recorded(
        self, api: Client, alice: User
    ) -> None:
        endpoint = make_endpoint(alice, "iris")
        response = api.get(f"{URL}/iris/keys")
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        assert {name: digest(key) for name, key in response.json().items()} == {
            "primary": endpoint.primary_digest,
            "secondary": endpoint.secondary_digest,
        }
        event = AuditEvent.objects.get()
        assert (event.actor, event.action, event.target) == (
            "alice",
            "endpoint.keys.reveal",
            "iris",
        )

    @pytest.mark.parametrize(
        ("which", "other"), [("primary", "secondary"), ("secondary", "primary")]
    )
    def test_one_is_replaced(self, api: Client, alice: User, which: str, other: str) -> None:
        make_endpoint(alice, "iris")
        old = api.get(f"{URL}/iris/keys").json()
        response = api.post(f"{URL}/iris/keys/regenerate", {"key": which}, JSON)
        assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
        new = response.json()
        assert new[which] != old[which]
        assert new[other] == old[other]
        actions = set(AuditEvent.objects.values_list("action", flat=True))
        assert f"endpoint.keys.regenerate.{which}" in actions

    @pytest.mark.parametrize("body", [{}, {"key": "third"}, {"key": ""}, {"key": ["primary"]}])
    def test_there_is_no_third_key(self, api: Client, alice: User, body: Any) -> None:
        make_endpoint(alice, "iris")
        before = Endpoint.objects.values("primary_digest", "secondary_digest").get()
        response = api.post(f"{URL}/iris/keys/regenerate", body, JSON)
        assert (response.status_code, error(response)["code"]) == (400, "invalid")
        assert Endpoint.objects.values("primary_digest", "secondary_digest").get() == before

    def test_who_is_refused_is_not_on_record(self, strange: Client, alice: User) -> None:
        make_endpoint(alice, "iris")
        assert strange.get(f"{URL}/iris/keys").status_code == 404
        assert not AuditEvent.objects.exists()


# Every route of endpoints/api.py, with paths of a real endpoint and deployment and bodies that would do.
ROUTES: list[tuple[str, str, Any]] = [
    ("get", "", None),
    ("post", "", {"name": "other"}),
    ("get", "/iris", None),
    ("patch", "/iris", {"description": "mine now"}),
    ("delete", "/iris", None),
    ("get", "/iris/keys", None),
    ("post", "/iris/keys/regenerate", {"key": "primary"}),
    ("get", "/iris/grants", None),
    ("put", "/iris/grants/alice", {"permission": "DENY"}),
    ("delete", "/iris/grants/alice", None),
    ("get", "/iris/deployments", None),
    ("post", "/iris/deployments", {"name": "green", "model_uri": "models:/churn/1"}),
    ("get", "/iris/deployments/blue", None),
    ("patch", "/iris/deployments/blue", {"replicas": 2}),
    ("delete", "/iris/deployments/blue", None),
    ("post", "/iris/deployments/blue/retry", {}),
    ("post", "/iris/deployments/blue/stop", {}),
    ("post", "/iris/deployments/blue/start", {}),
    ("post", "/iris/deployments/blue/restart", {}),
    ("get", "/iris/deployments/blue/logs", None),
]


def call(client: Client, method: str, path: str, body: Any) -> Any:
    more = {} if body is None else {"data": body, "content_type": JSON}
    return getattr(client, method)(f"{URL}{path}", **more)


class TestStrangers:
    @pytest.fixture(autouse=True)
    def somebody_elses(self, alice: User) -> None:
        blue = make_deployment(alice, make_endpoint(alice, "iris"), "blue", state=State.FAILED)
        make_replica(blue, ReplicaState.GONE)

    def test_the_routes_below_are_all_there_are(self) -> None:
        from endpoints.api import urlpatterns

        shapes = {str(route.pattern) for route in urlpatterns}
        told = {
            path.replace("iris", "<str:name>")
            .replace("blue", "<str:deployment>")
            .replace("alice", "<str:username>")
            for _, path, _ in ROUTES
        }
        assert shapes == {f"endpoints{path}" for path in told}

    @pytest.mark.parametrize(("method", "path", "body"), ROUTES)
    def test_a_stranger_sees_none_of_it_and_changes_nothing(
        self, strange: Client, method: str, path: str, body: Any
    ) -> None:
        before = [*Endpoint.objects.values(), *Endpoint.objects.values("deployments__state")]
        refused = call(strange, method, path, body)
        if path:
            assert (refused.status_code, error(refused)["code"]) == (404, "not_found")
        elif method == "get":
            assert refused.json() == {"items": [], "next": None}
        else:
            assert (refused.status_code, error(refused)["code"]) == (403, "forbidden")
        assert before == [
            *Endpoint.objects.values(),
            *Endpoint.objects.values("deployments__state"),
        ]

    @pytest.mark.parametrize(("method", "path", "body"), ROUTES)
    def test_a_stranger_cannot_tell_what_there_is_from_what_there_is_not(
        self, strange: Client, method: str, path: str, body: Any
    ) -> None:
        refused = call(strange, method, path, body)
        missing = call(strange, method, path.replace("iris", "none-such"), body)
        assert missing.status_code == refused.status_code
        assert missing.content.replace(b"none-such", b"iris") == refused.content

    @pytest.mark.parametrize(("method", "path", "body"), ROUTES)
    def test_nobody_is_asked_who_they_are(
        self, client: Client, method: str, path: str, body: Any
    ) -> None:
        response = call(client, method, path, body)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Basic")
        assert error(response)["code"] == "unauthenticated"

    @pytest.mark.parametrize(("method", "path", "body"), [route for route in ROUTES if route[1]])
    @pytest.mark.parametrize(
        "name", ["none-such", "Iris", "..", "iris%0a", "i" * 500, "%F0%9F%8C%B8"]
    )
    def test_what_is_not_there_is_not_found(
        self, api: Client, method: str, path: str, body: Any, name: str
    ) -> None:
        response = call(api, method, path.replace("iris", name, 1), body)
        assert response.status_code == 404
        assert error(response)["code"] in ("not_found", "endpoint_not_found")

    @pytest.mark.parametrize("path", sorted({path for _, path, _ in ROUTES}))
    def test_other_methods_are_told_which_there_are(self, api: Client, path: str) -> None:
        taken = {method for method, own, _ in ROUTES if own == path}
        other = next(method for method in ("put", "post") if method not in taken)
        response = call(api, other, path, {})
        assert (response.status_code, error(response)["code"]) == (405, "method_not_allowed")
        for method, own, _ in ROUTES:
            if own == path:
                assert method.upper() in response["Allow"]


def test_a_browsers_session_writes_only_from_studios_own_pages(as_alice: Client) -> None:
    refused = as_alice.post(URL, {"name": "iris"}, JSON, headers={"Sec-Fetch-Site": "cross-site"})
    assert (refused.status_code, error(refused)["code"]) == (403, "permission_denied")
    own = as_alice.post(URL, {"name": "iris"}, JSON, headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 201


def test_the_schema_is_whole_and_tells_what_each_request_takes(api: Client) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")
    headers = {"Accept": "application/vnd.oai.openapi+json"}
    schema = api.get("/api/v1/schema", headers=headers).json()
    takes = {
        ("", "post"): {"name", "description"},
        ("/{name}", "patch"): {"description"},
        ("/{name}/deployments", "post"): {"name", "model_uri", "replicas", "memory_mb"},
        ("/{name}/deployments/{deployment}", "patch"): {"replicas", "memory_mb"},
        ("/{name}/keys/regenerate", "post"): {"key"},
        ("/{name}/grants/{username}", "put"): {"permission"},
    }
    for (path, method), fields in takes.items():
        content = schema["paths"][f"{URL}{path}"][method]["requestBody"]["content"][JSON]
        component = content["schema"]["$ref"].rpartition("/")[2]
        assert set(schema["components"]["schemas"][component]["properties"]) == fields
