"""What a person does on the pages of endpoints: deploy, try, reveal keys; and who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.conf import settings as configured
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from endpoints import logs, services, urls
from endpoints.models import AttemptStep, Deployment, Endpoint, State, Wanted, valid_name
from endpoints.views import DeployForm
from registry.models import ModelVersion
from studio.accounts.models import AuditEvent, User
from tests.support.pages import Page, page
from tests.support.processes import free_port
from tests.support.rows import make_version
from tests.support.serving import last_attempt, make_deployment, make_endpoint, make_replica

IRIS = "/endpoints/iris/"
DEPLOY = "/models/churn/versions/1/deploy/"


def errors(shown: Page) -> list[str]:
    return [e.text for e in shown.all("span") if e.attributes.get("class") == "error"]


class TestDeploy:
    @pytest.fixture(autouse=True)
    def churn(self, db: None) -> ModelVersion:
        return make_version("churn", 1)

    def test_names_are_suggested(self, as_alice: Client, iris: Endpoint) -> None:
        shown = page(as_alice.get(DEPLOY))
        fields = {e["name"]: e["value"] for e in shown.all("input") if "value" in e.attributes}
        assert (fields["endpoint"], fields["deployment"]) == ("churn", "version-1")
        assert [option["value"] for option in shown.all("option")] == ["iris"]
        assert any("runs its code" in text for text in shown.texts("p"))

    @pytest.mark.parametrize(
        "name",
        [
            "churn",
            "Churn Model",
            "churn_model.v2",
            "a",
            "42",
            "",
            "ß",
            "модель",
            "-x-",
            "1" * 50 + "z",
        ]
        + ["x" * 200, "a" * 31 + "-b", "<b>&", "deep learning: take 3", "_" * 40, "ab", "日本"],
    )
    def test_a_suggestion_is_always_a_name_that_is_taken(self, name: str) -> None:
        for suggested in DeployForm.suggested(ModelVersion(name=name, version=2**31 - 1)).values():
            valid_name(suggested)

    def test_it_is_deployed_to_a_new_endpoint(self, as_alice: Client, alice: User) -> None:
        response = as_alice.post(DEPLOY, {"endpoint": "churn", "deployment": "version-1"})
        assert (response.status_code, response["Location"]) == (302, "/endpoints/churn/")
        made = Deployment.objects.get()
        assert (str(made), made.model_uri) == ("churn/version-1", "models:/churn/1")
        assert made.created_by == alice

    def test_it_is_deployed_to_an_endpoint_that_is_there(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        as_alice.post(DEPLOY, {"endpoint": "iris", "deployment": "green"})
        assert str(Deployment.objects.get()) == "iris/green"
        assert Endpoint.objects.count() == 1

    @pytest.mark.parametrize(
        "given",
        [{"endpoint": "Bad Name"}, {"endpoint": ""}, {"deployment": "x"}, {"deployment": "-a-"}]
        + [{"endpoint": "a" * 33}, {"deployment": "<script>"}],
    )
    def test_a_name_against_the_rule_is_told_at_its_field_and_kept(
        self, as_alice: Client, given: dict[str, str]
    ) -> None:
        form = {"endpoint": "churn", "deployment": "version-1"} | given
        response = as_alice.post(DEPLOY, form)
        assert response.status_code == 422
        shown = page(response)
        assert len(errors(shown)) == 1
        wrong = next(e for e in shown.all("input") if e.attributes.get("aria-invalid"))
        assert wrong["name"] == next(iter(given))
        assert wrong.attributes.get("value", "") == next(iter(given.values()))
        assert not Endpoint.objects.exists()

    def test_a_name_that_is_taken_is_told(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, "green")
        response = as_alice.post(DEPLOY, {"endpoint": "iris", "deployment": "green"})
        assert response.status_code == 422
        assert "already has a deployment named" in errors(page(response))[0]

    def test_an_endpoint_that_is_being_deleted_is_told(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        Endpoint.objects.update(wanted=Wanted.GONE)
        response = as_alice.post(DEPLOY, {"endpoint": "iris", "deployment": "green"})
        assert response.status_code == 422
        assert "is being deleted" in errors(page(response))[0]

    def test_the_models_page_tells_where_it_is_deployed(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_version("churn", 2)
        make_deployment(alice, iris, "green")  # of churn, version 1
        shown, other = (page(as_alice.get(f"/models/churn/versions/{n}/")) for n in (1, 2))
        assert shown.link("iris / green") == IRIS
        assert "Deployed at" in shown.texts("h2")
        assert "Deployed at" not in other.texts("h2")


class TestTry:
    @pytest.fixture
    def gateway(self, settings: Settings) -> Iterator[list[tuple[str, str, bytes]]]:
        """Stands in for the gateway, which has tests of its own."""
        asked: list[tuple[str, str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, self.headers["Authorization"], body))
                answer = b'{"predictions": ["<b>1</b>"]}'
                self.send_response(200 if body.startswith(b"{") else 400)
                self.send_header("Studio-Deployment", "blue")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        settings.SCORING_ADDRESS = f"127.0.0.1:{server.server_address[1]}"
        yield asked
        server.shutdown()
        thread.join()
        server.server_close()

    def test_the_body_is_sent_as_any_program_would_and_the_answer_shown(
        self, as_alice: Client, iris: Endpoint, gateway: list[tuple[str, str, bytes]]
    ) -> None:
        body = '{"instances": [[1.5, "ü"]]}'
        response = as_alice.post(f"{IRIS}test/", {"body": body}, headers={"HX-Request": "true"})
        ((path, authorization, sent),) = gateway
        assert (path, sent.decode()) == ("/endpoints/iris/invocations", body)
        assert authorization == f"Bearer {services.primary_key(iris)}"
        shown = page(response)
        assert shown.all("html") == []
        assert shown.texts("pre") == ['{"predictions": ["<b>1</b>"]}']
        assert "answered by blue in" in " ".join(shown.texts("span"))
        assert "200" in shown.texts("span")
        assert not AuditEvent.objects.exists()  # nobody has seen a key

    def test_without_scripts_it_is_a_whole_page_with_what_was_typed(
        self, as_alice: Client, iris: Endpoint, gateway: list[tuple[str, str, bytes]]
    ) -> None:
        shown = page(as_alice.post(f"{IRIS}test/", {"body": "not json"}))
        assert shown.texts("textarea") == ["not json"]
        assert "400" in shown.texts("span")

    def test_a_gateway_that_is_away_is_told(
        self, as_alice: Client, iris: Endpoint, settings: Settings
    ) -> None:
        settings.SCORING_ADDRESS = f"127.0.0.1:{free_port()}"
        shown = page(as_alice.post(f"{IRIS}test/", {"body": "{}"}, headers={"HX-Request": "true"}))
        assert "no answer" in shown.texts("span")
        assert "The scoring gateway is not answering (ConnectError)" in shown.texts("p")[0]


class TestKeys:
    def test_they_are_shown_when_asked_for_and_that_is_recorded(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        keys = [services.primary_key(iris)]
        assert keys[0] not in as_alice.get(f"{IRIS}?tab=consume").content.decode()
        assert not AuditEvent.objects.exists()
        response = as_alice.post(f"{IRIS}keys/")
        assert "no-store" in response["Cache-Control"]
        shown = page(response)
        assert keys[0] in {e.attributes.get("data-text") for e in shown.all("button")}
        assert keys[0] in shown.texts("code")[0]  # the snippet can be run as it stands
        assert AuditEvent.objects.get().action == "endpoint.keys.reveal"

    @pytest.mark.parametrize("which", ["primary", "secondary"])
    def test_one_is_replaced(self, as_alice: Client, iris: Endpoint, which: str) -> None:
        old = Endpoint.objects.values_list(f"{which}_digest", flat=True).get()
        response = as_alice.post(
            f"{IRIS}keys/", {"regenerate": which}, headers={"HX-Request": "true"}
        )
        assert page(response).elements[0]["id"] == "consume"
        assert Endpoint.objects.values_list(f"{which}_digest", flat=True).get() != old
        actions = set(AuditEvent.objects.values_list("action", flat=True))
        assert actions == {"endpoint.keys.reveal", f"endpoint.keys.regenerate.{which}"}

    def test_there_is_no_third(self, as_alice: Client, iris: Endpoint) -> None:
        response = as_alice.post(f"{IRIS}keys/", {"regenerate": "third"})
        assert response.status_code == 400
        assert not AuditEvent.objects.exists()


def test_a_retry_of_what_has_not_failed_is_told(
    as_alice: Client, alice: User, iris: Endpoint
) -> None:
    make_deployment(alice, iris, "blue", state=State.LIVE)
    shown = page(as_alice.post(f"{IRIS}deployments/blue/retry/", follow=True))
    (told,) = (e for e in shown.all("p") if e.attributes.get("role") == "status")
    assert "only a failed one is tried again" in told.text
    assert told["class"] == "note bad"


HOSTILE = "</pre></title><script>alert(1)</script><img src=x onerror=alert(1)>\"' {{ 7|add:7 }}"


def test_whatever_models_and_people_say_is_shown_as_text(
    as_alice: Client, alice: User, settings: Settings
) -> None:
    settings.SCORING_ADDRESS = f"127.0.0.1:{free_port()}"
    endpoint = make_endpoint(alice, "iris", HOSTILE)
    blue = make_deployment(
        alice,
        endpoint,
        "blue",
        state=State.FAILED,
        reason=HOSTILE,
        detail=HOSTILE,
        model_name=HOSTILE.replace("/", ""),
    )
    AttemptStep.objects.create(
        attempt=last_attempt(blue), name=State.RESOLVING, detail=HOSTILE, failed=True
    )
    logs.write(logs.of_attempt(last_attempt(blue)), HOSTILE)
    logs.write(logs.of_replica(make_replica(blue)), HOSTILE)
    paths = [IRIS, *(f"{IRIS}?tab={tab}" for tab in ("test", "consume", "logs"))]
    paths += [
        f"{IRIS}delete/",
        f"{IRIS}deployments/blue/delete/",
        f"{IRIS}deployments/blue/stop/",
        f"{IRIS}deployments/blue/size/",
        f"{IRIS}deployments/blue/replicas/",
        f"{IRIS}overview/",
        "/endpoints/",
    ]
    paths += [f"/endpoints/?search={HOSTILE}"]
    answers = [as_alice.get(path) for path in paths]
    answers.append(as_alice.post(f"{IRIS}test/", {"body": HOSTILE}))
    for answer in answers:
        assert answer.status_code == 200
        text = answer.content.decode()
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "14" not in page(answer).texts("pre")
    shown = page(answers[0])
    assert HOSTILE in shown.texts("p")
    assert HOSTILE in shown.texts("pre")[0]
    assert HOSTILE in shown.texts("pre")[-1]


# Every page of endpoints, with the path of one that is there.
PATHS = {
    "endpoints": "/endpoints/",
    "deploy": DEPLOY,
    "endpoint": IRIS,
    "access": f"{IRIS}access/",
    "overview": f"{IRIS}overview/",
    "test": f"{IRIS}test/",
    "keys": f"{IRIS}keys/",
    "delete": f"{IRIS}delete/",
    "log": f"{IRIS}deployments/blue/log/",
    "retry": f"{IRIS}deployments/blue/retry/",
    "download-log": f"{IRIS}deployments/blue/log/download/",
    "replicas": f"{IRIS}deployments/blue/replicas/",
    "stop-deployment": f"{IRIS}deployments/blue/stop/",
    "start-deployment": f"{IRIS}deployments/blue/start/",
    "restart-deployment": f"{IRIS}deployments/blue/restart/",
    "scale-deployment": f"{IRIS}deployments/blue/size/",
    "delete-deployment": f"{IRIS}deployments/blue/delete/",
}
FORMS = ["test", "keys", "delete", "deploy", "retry", "delete-deployment", "stop-deployment"]
FORMS += ["start-deployment", "restart-deployment", "scale-deployment"]
METHODS = ["get", "post"]


class TestStrangers:
    @pytest.fixture(autouse=True)
    def somebody_elses(self, alice: User) -> None:
        make_version("churn", 1)
        make_deployment(alice, make_endpoint(alice, "iris"), "blue", state=State.FAILED)

    def test_these_are_all_the_pages_there_are(self) -> None:
        assert set(PATHS) == {pattern.name for pattern in urls.urlpatterns}
        arguments: dict[str, list[Any]] = {"endpoints": [], "deploy": ["churn", 1]}
        for name, told in arguments.items():
            assert reverse(f"endpoints:{name}", args=told) == PATHS[name]

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("path", PATHS.values())
    def test_a_stranger_finds_nothing_and_changes_nothing(
        self, as_bob: Client, method: str, path: str
    ) -> None:
        before = [*Endpoint.objects.values(), *Deployment.objects.values()]
        form = {"endpoint": "mine", "deployment": "mine"}
        response = getattr(as_bob, method)(path, form)
        listed = (path, method) == ("/endpoints/", "get")
        assert response.status_code in ((200,) if listed else (404, 405))
        assert not listed or "/endpoints/iris/" not in [a["href"] for a in page(response).all("a")]
        assert before == [*Endpoint.objects.values(), *Deployment.objects.values()]
        missing = getattr(as_bob, method)(path.replace("iris", "none-such"), form)
        told = [text.replace("none-such", "iris") for text in page(missing).texts("p")]
        assert (missing.status_code, told) == (response.status_code, page(response).texts("p"))

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("path", PATHS.values())
    def test_who_is_not_signed_in_is_sent_to_sign_in(
        self, client: Client, method: str, path: str
    ) -> None:
        response = getattr(client, method)(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/login/?next=")
        fragment = getattr(client, method)(path, headers={"HX-Request": "true"})
        assert (fragment.status_code, fragment["HX-Redirect"]) == (401, "/login/")

    @pytest.mark.parametrize("path", [path for path in PATHS.values() if path != "/endpoints/"])
    @pytest.mark.parametrize("name", ["none-such", "Iris", "i" * 300, "größe"])
    def test_what_is_not_there_is_not_found(self, as_alice: Client, path: str, name: str) -> None:
        missing = path.replace("iris", name).replace("churn", name)
        for method in METHODS:
            assert getattr(as_alice, method)(missing).status_code in (404, 405)

    @pytest.mark.parametrize("name", FORMS)
    def test_a_form_that_came_from_elsewhere_is_refused(self, alice: User, name: str) -> None:
        careful = Client(enforce_csrf_checks=True)
        careful.force_login(alice)
        response = careful.post(PATHS[name], {"endpoint": "mine", "deployment": "mine"})
        assert response.status_code == 403
        assert Deployment.objects.get().wanted == Wanted.LIVE
        assert not AuditEvent.objects.exists()


def test_the_log_of_a_page_is_json_and_no_markup(as_alice: Client, alice: User) -> None:
    blue = make_deployment(alice, make_endpoint(alice, "iris"), "blue")
    logs.write(logs.of_attempt(last_attempt(blue)), HOSTILE)
    response = as_alice.get(PATHS["log"])
    assert response["Content-Type"] == "application/json"
    assert json.loads(response.content)["lines"][0].endswith(HOSTILE)
    assert configured.SECRET_KEY not in response.content.decode()
