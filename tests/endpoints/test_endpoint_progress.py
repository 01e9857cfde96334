"""Which deployment an endpoint's page is about, and what is left to see once it has got live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints import logs
from endpoints.models import AttemptStep, Endpoint, State, Wanted
from endpoints.query import FRESH, in_focus
from studio.accounts.models import User
from tests.support.pages import Page, page
from tests.support.rows import make_version
from tests.support.serving import last_attempt, make_deployment, make_replica

IRIS = "/endpoints/iris/"


def get(client: Client, path: str, **query: Any) -> Page:
    response = client.get(path, query)
    assert response.status_code == 200, response.content
    return page(response)


def polled(shown: Page) -> str:
    return next(
        e["hx-get"] for e in shown.elements if "/overview/" in e.attributes.get("hx-get", "")
    )


class TestFocus:
    def names(self, alice: User, iris: Endpoint, *given: dict[str, Any]) -> str:
        for number, fields in enumerate(given):
            make_deployment(alice, iris, f"number-{number}", **fields)
        shown = in_focus(list(iris.deployments.all()))
        return shown.name if shown else ""

    def test_one_that_got_live_later_hides_an_old_failure(
        self, alice: User, iris: Endpoint
    ) -> None:
        old = {"state": State.FAILED, "state_at": now() - timedelta(hours=1)}
        assert self.names(alice, iris, old, {"state": State.LIVE}) == "number-1"

    def test_one_that_failed_later_is_seen(self, alice: User, iris: Endpoint) -> None:
        old = {"state": State.LIVE, "state_at": now() - timedelta(hours=1)}
        assert self.names(alice, iris, {"state": State.FAILED}, old) == "number-0"

    def test_one_on_its_way_comes_first(self, alice: User, iris: Endpoint) -> None:
        on_its_way = {"state": State.BUILDING, "state_at": now() - timedelta(hours=1)}
        assert self.names(alice, iris, on_its_way, {"state": State.FAILED}) == "number-0"

    def test_one_that_is_being_deleted_comes_last(self, alice: User, iris: Endpoint) -> None:
        going = {"state": State.STOPPING, "wanted": Wanted.GONE}
        old = {"state": State.LIVE, "state_at": now() - timedelta(days=9)}
        assert self.names(alice, iris, old, going) == "number-0"

    def test_of_none_it_is_none(self, alice: User, iris: Endpoint) -> None:
        assert self.names(alice, iris) == ""

    def test_the_address_may_name_another(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, "red", state=State.FAILED, reason="It did not load.")
        make_deployment(alice, iris, "green", state=State.BUILDING)
        shown = get(as_alice, IRIS)
        assert "green · attempt 1" in shown.texts("h2")
        red = page(as_alice.get(shown.link("red")))
        assert "red · attempt 1" in red.texts("h2")
        assert "It did not load." in red.texts("p")
        assert as_alice.get(polled(red)).status_code == 204  # it asks for the same one


class TestLive:
    def came_live(self, alice: User, iris: Endpoint, ago: timedelta, **given: Any) -> None:
        fields: dict[str, Any] = {"state": State.LIVE, "traffic": 100, "state_at": now() - ago}
        blue = make_deployment(alice, iris, **fields | given)
        make_replica(blue)
        AttemptStep.objects.create(
            attempt=last_attempt(blue),
            name=State.RESOLVING,
            ended_at=now() + timedelta(seconds=4),
            detail="sklearn",
        )
        logs.write(logs.of_attempt(last_attempt(blue)), "live")

    def test_who_has_watched_keeps_steps_and_log_and_is_told_what_to_do_next(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        self.came_live(alice, iris, timedelta(seconds=5))
        shown = get(as_alice, IRIS)
        (fold,) = (e for e in shown.all("details") if e["class"] == "fold")
        assert "open" in fold.attributes
        assert "4.0 s" in fold.text
        assert "live" in shown.texts("pre")[0]
        assert shown.link("Send a request") == f"{IRIS}?tab=test"
        assert shown.link("Call it from a program") == f"{IRIS}?tab=consume"
        assert "blue is live and takes 100 % of the requests." in " ".join(shown.texts("div"))

    def test_it_says_when_another_takes_the_requests(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        self.came_live(alice, iris, timedelta(seconds=5), traffic=0)
        assert "blue is live. It takes no requests" in " ".join(get(as_alice, IRIS).texts("div"))

    def test_later_the_steps_are_folded(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        self.came_live(alice, iris, FRESH + timedelta(seconds=1))
        shown = get(as_alice, IRIS)
        (fold,) = (e for e in shown.all("details") if e["class"] == "fold")
        assert "open" not in fold.attributes
        assert "Resolving the model · sklearn" in " ".join(fold.text.split())
        assert shown.all("pre") == []
        assert "Send a request" not in shown.texts("a")


def test_a_step_that_runs_shows_for_how_long(as_alice: Client, alice: User, iris: Endpoint) -> None:
    step = AttemptStep.objects.create(
        attempt=last_attempt(make_deployment(alice, iris, state=State.BUILDING)),
        name=State.BUILDING,
    )
    AttemptStep.objects.filter(pk=step.pk).update(started_at=now() - timedelta(seconds=75))
    of_all, clock = (
        e for e in get(as_alice, IRIS).all("span") if e.attributes.get("data-module") == "elapsed"
    )
    assert 75 <= float(clock["data-seconds"]) < 80
    assert clock.text.startswith("1 min 1")
    assert float(of_all["data-seconds"]) < 75  # the attempt itself has just been made


class TestDeployFromAnEndpoint:
    """The way from `Deploy a version` over the models leads back to the endpoint."""

    @pytest.fixture(autouse=True)
    def churn(self, db: None) -> None:
        make_version("churn", 1)
        make_version("churn", 2)

    def test_the_endpoint_goes_along(self, as_alice: Client, iris: Endpoint) -> None:
        models = page(as_alice.get(get(as_alice, IRIS).link("Deploy a version")))
        assert "Choose the model to deploy to iris." in models.texts("span")
        model = page(as_alice.get(models.link("churn")))
        assert "Choose the version to deploy to iris." in model.texts("span")
        version = page(as_alice.get(model.link("Version 2")))
        form = page(as_alice.get(version.link("Deploy")))
        fields = {e["name"]: e["value"] for e in form.all("input") if "value" in e.attributes}
        assert (fields["endpoint"], fields["deployment"]) == ("iris", "version-2")

    def test_it_goes_along_with_a_search_and_over_pages(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        for number in range(60):
            make_version(f"model-{number}", 1)
        shown = get(as_alice, "/models/", endpoint="iris", search="model")
        assert ("endpoint", "iris") in {
            (e["name"], e.attributes.get("value")) for e in shown.all("input")
        }
        second = page(as_alice.get(f"/models/{shown.related('next')}"))
        links = [a["href"] for a in second.all("a") if a["href"].startswith("/models/model-")]
        assert links
        assert all(link.endswith("?endpoint=iris") for link in links)

    @pytest.mark.parametrize("asked", ["", "<b>", "Iris", "x" * 90, "a b"])
    def test_what_is_no_name_goes_nowhere(
        self, as_alice: Client, iris: Endpoint, asked: str
    ) -> None:
        shown = get(as_alice, "/models/", endpoint=asked)
        assert shown.link("churn") == "/models/churn/"
        assert not any("Choose" in text for text in shown.texts("span"))

    def test_the_deployments_name_is_one_that_is_free(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        for name in ("version-1", "version-1-2"):
            make_deployment(alice, iris, name)
        form = get(as_alice, "/models/churn/versions/1/deploy/", endpoint="iris")
        fields = {e["name"]: e["value"] for e in form.all("input") if "value" in e.attributes}
        assert (fields["endpoint"], fields["deployment"]) == ("iris", "version-1-3")

    def test_an_endpoint_that_is_not_there_is_not_suggested(self, as_alice: Client) -> None:
        form = get(as_alice, "/models/churn/versions/1/deploy/", endpoint="none-such")
        fields = {e["name"]: e["value"] for e in form.all("input") if "value" in e.attributes}
        assert fields["endpoint"] == "churn"
