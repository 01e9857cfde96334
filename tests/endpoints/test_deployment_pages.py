"""What a person does to a deployment on its pages: stop, start, restart, change its size, deploy in a size."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints import services
from endpoints.models import (
    ENDPOINT,
    Deployment,
    Endpoint,
    Replica,
    ReplicaState,
    State,
    Wanted,
)
from endpoints.overview import Offers
from studio.accounts.models import AuditEvent, User
from studio.lib.errors import Conflict
from tests.support.grants import grant_studio
from tests.support.pages import Page, page
from tests.support.rows import make_version
from tests.support.serving import last_attempt, make_deployment, make_endpoint, make_replica

IRIS = "/endpoints/iris/"
BLUE = f"{IRIS}deployments/blue/"
FOCUS = f"{IRIS}?deployment=blue"


@pytest.fixture
def live(alice: User, iris: Endpoint) -> Deployment:
    since = now() - timedelta(days=1)
    return make_deployment(alice, iris, state=State.LIVE, traffic=100, state_at=since)


def told(shown: Page) -> list[str]:
    return [e.text for e in shown.all("p") if e.attributes.get("role") == "status"]


# What can be done, by wanted and state.
@pytest.mark.parametrize(
    ("wanted", "state", "offered"),
    [
        (Wanted.LIVE, State.LIVE, {"stop", "restart", "size"}),
        (Wanted.LIVE, State.BUILDING, {"stop", "size"}),
        (Wanted.LIVE, State.FAILED, {"retry", "size"}),
        (Wanted.STOPPED, State.STOPPING, {"start", "size"}),
        (Wanted.STOPPED, State.STOPPED, {"start", "size"}),
        (Wanted.STOPPED, State.LIVE, {"start", "size"}),
        (Wanted.GONE, State.LIVE, set()),
    ],
)
class TestOffers:
    def test_what_can_be_done_depends_on_the_state(
        self, wanted: Wanted, state: State, offered: set[str]
    ) -> None:
        offers = Offers.of(Deployment(wanted=wanted, state=state))
        assert {name for name in Offers.__slots__ if getattr(offers, name)} == offered

    def test_it_is_what_can_really_be_done(
        self, alice: User, wanted: Wanted, state: State, offered: set[str]
    ) -> None:
        doing: dict[str, Callable[[Deployment], object]] = {
            "retry": lambda one: services.retry(deployment=one),
            "start": lambda one: services.start_deployment(deployment=one, by=alice),
            "stop": lambda one: services.stop_deployment(deployment=one, by=alice),
            "restart": lambda one: services.restart_deployment(deployment=one, by=alice),
            "size": lambda one: services.scale(deployment=one, by=alice, replicas=2),
        }
        done = set()
        for name, act in doing.items():
            deployment = make_deployment(alice, state=state, wanted=wanted)
            try:
                act(deployment)
            except Conflict:
                continue
            done.add(name)
        assert done == offered


class TestButtons:
    def offered(self, shown: Page) -> set[str]:
        """The actions on the deployment that the page shows."""
        at = {e.attributes.get("action", e.attributes.get("href", "")) for e in shown.elements}
        found = {path.removeprefix(BLUE).rstrip("/") for path in at if path.startswith(BLUE)}
        return found - {"log/download"}

    def test_who_may_change_it_sees_them(self, as_alice: Client, live: Deployment) -> None:
        assert self.offered(page(as_alice.get(IRIS))) == {"restart", "size", "stop", "delete"}

    @pytest.mark.parametrize(
        ("level", "seen"),
        [("READ", set()), ("USE", set()), ("EDIT", {"restart", "size", "stop"})]
        + [("MANAGE", {"restart", "size", "stop", "delete"})],
    )
    def test_they_are_shown_to_who_has_the_level_and_work_for_no_other(
        self,
        as_bob: Client,
        bob: User,
        iris: Endpoint,
        live: Deployment,
        level: str,
        seen: set[str],
    ) -> None:
        grant_studio(bob, ENDPOINT, iris.pk, level)
        assert self.offered(page(as_bob.get(IRIS))) == seen
        before = Deployment.objects.values().get()
        for action in ("start", "restart", "size", "stop", "delete", "retry"):
            status = as_bob.post(f"{BLUE}{action}/", {"replicas": 1, "memory_mb": 2048}).status_code
            allowed = level == "MANAGE" or (level == "EDIT" and action != "delete")
            assert status == (302 if allowed else 403), action
        if level in ("READ", "USE"):
            assert Deployment.objects.values().get() == before

    def test_a_stopped_one_is_started_first_of_all(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, state=State.STOPPED, wanted=Wanted.STOPPED, traffic=70)
        shown = page(as_alice.get(IRIS))
        assert self.offered(shown) == {"start", "size", "delete"}
        (button,) = (e for e in shown.all("button") if "primary" in e.attributes.get("class", ""))
        assert button.text.strip() == "Start"
        assert "It keeps its 70 % of the traffic: these requests are refused with 503" in " ".join(
            shown.texts("div")
        )


class TestStop:
    def test_it_asks_first_and_names_what_ends(self, as_alice: Client, live: Deployment) -> None:
        for _ in range(2):
            make_replica(live)
        make_replica(live, ReplicaState.GONE)
        shown = page(as_alice.get(f"{BLUE}stop/"))
        assert shown.texts("h1") == ["Stop the deployment blue?"]
        ends, keeps = shown.texts("p")
        assert "Its 2 replicas finish what they answer and end." in ends
        assert "100 % of the traffic of iris: these requests are refused with 503" in ends
        assert "Kept are its share of the traffic" in keeps
        assert Deployment.objects.get().wanted == Wanted.LIVE

    def test_words_fit_one_replica_and_no_traffic(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_replica(make_deployment(alice, iris, state=State.LIVE))
        ends = page(as_alice.get(f"{BLUE}stop/")).texts("p")[0]
        assert ends == (
            "Its 1 replica finishes what it answers and ends. "
            "It takes no traffic, so no request is refused."
        )

    def test_one_on_its_way_is_given_up(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris, state=State.BUILDING)
        assert (
            "The attempt that is on its way is given up."
            in page(as_alice.get(f"{BLUE}stop/")).texts("p")[0]
        )

    def test_confirmed_it_is_stopped_and_the_page_says_so(
        self, as_alice: Client, live: Deployment
    ) -> None:
        response = as_alice.post(f"{BLUE}stop/", follow=True)
        assert response.redirect_chain == [(FOCUS, 302)]
        assert told(page(response)) == [
            "blue is being stopped. Start it again whenever it is needed."
        ]
        assert Deployment.objects.get().wanted == Wanted.STOPPED
        assert AuditEvent.objects.get().action == "deployment.stop"


class TestStartAndRestart:
    def test_a_stopped_one_begins_a_new_attempt(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.STOPPED, wanted=Wanted.STOPPED)
        response = as_alice.post(f"{BLUE}start/", follow=True)
        assert response.redirect_chain == [(FOCUS, 302)]
        assert "blue is being started." in told(page(response))[0]
        assert "blue · attempt 2" in page(response).texts("h2")
        assert last_attempt(blue).number == 2

    def test_a_restart_says_that_new_ones_come_first(
        self, as_alice: Client, live: Deployment
    ) -> None:
        replica = make_replica(live)
        shown = page(as_alice.get(IRIS))
        (button,) = (e for e in shown.all("button") if e.text.strip() == "Restart")
        assert "New replicas come first" in button["title"]
        shown = page(as_alice.post(f"{BLUE}restart/", follow=True))
        assert "New replicas come first" in told(shown)[0]
        assert Replica.objects.get(pk=replica.pk).outdated

    @pytest.mark.parametrize(
        ("action", "words"),
        [("start", "only a stopped one is started"), ("retry", "only a failed one is tried again")],
    )
    def test_what_cannot_be_done_is_said_on_the_page(
        self, as_alice: Client, live: Deployment, action: str, words: str
    ) -> None:
        response = as_alice.post(f"{BLUE}{action}/", follow=True)
        assert response.redirect_chain == [(FOCUS, 302)]
        (said,) = (e for e in page(response).all("p") if e.attributes.get("role") == "status")
        assert words in said.text
        assert said["class"] == "note bad"

    @pytest.mark.parametrize("action", ["stop", "restart", "size", "start"])
    def test_one_that_is_being_deleted_is_left_alone(
        self, as_alice: Client, alice: User, iris: Endpoint, action: str
    ) -> None:
        make_deployment(alice, iris, state=State.LIVE, wanted=Wanted.GONE)
        size = {"replicas": 2, "memory_mb": 512}
        shown = page(as_alice.post(f"{BLUE}{action}/", size, follow=True))
        assert told(shown) == ["The deployment iris/blue is being deleted."]
        assert Deployment.objects.get().wanted == Wanted.GONE


class TestSize:
    def test_the_form_shows_what_is(self, as_alice: Client, alice: User, iris: Endpoint) -> None:
        make_deployment(alice, iris, replicas_wanted=3, memory_mb=700)
        shown = page(as_alice.get(f"{BLUE}size/"))
        fields = {e["name"]: e.attributes.get("value") for e in shown.all("input")}
        assert (fields["replicas"], fields["memory_mb"]) == ("3", "700")

    def test_it_is_changed(self, as_alice: Client, live: Deployment) -> None:
        response = as_alice.post(
            f"{BLUE}size/", {"replicas": "4", "memory_mb": "1024"}, follow=True
        )
        assert told(page(response)) == ["blue shall have 4 replicas of up to 1024 MB."]
        live.refresh_from_db()
        assert (live.replicas_wanted, live.memory_mb) == (4, 1024)

    @pytest.mark.parametrize(
        "given",
        [{"replicas": "0"}, {"replicas": "9"}, {"replicas": "x"}, {"replicas": ""}]
        + [{"memory_mb": "63"}, {"memory_mb": "1048577"}, {"memory_mb": "1.5"}],
    )
    def test_what_is_out_of_bounds_is_told_at_its_field(
        self, as_alice: Client, live: Deployment, given: dict[str, str]
    ) -> None:
        response = as_alice.post(f"{BLUE}size/", {"replicas": "1", "memory_mb": "2048"} | given)
        assert response.status_code == 422
        shown = page(response)
        (wrong,) = (e for e in shown.all("input") if e.attributes.get("aria-invalid"))
        assert wrong["name"] == next(iter(given))
        live.refresh_from_db()
        assert (live.replicas_wanted, live.memory_mb) == (1, 2048)


class TestDeployForm:
    FORM = "/models/churn/versions/1/deploy/"

    @pytest.fixture(autouse=True)
    def churn(self, db: None) -> None:
        make_version("churn", 1)

    def post(self, client: Client, **given: str) -> Any:
        return client.post(self.FORM, {"endpoint": "iris", "deployment": "blue"} | given)

    def size(self) -> tuple[int, int]:
        return Deployment.objects.values_list("replicas_wanted", "memory_mb").get()

    def test_the_size_is_folded_with_values_that_do(self, as_alice: Client) -> None:
        shown = page(as_alice.get(self.FORM))
        (fold,) = (e for e in shown.all("details") if e.attributes.get("id") == "size")
        assert "open" not in fold.attributes
        fields = {e["name"]: e.attributes.get("value") for e in shown.all("input")}
        assert (fields["replicas"], fields["memory_mb"]) == ("1", "2048")

    @pytest.mark.parametrize("is_new", [True, False])
    def test_it_is_deployed_in_this_size(self, as_alice: Client, alice: User, is_new: bool) -> None:
        if not is_new:
            make_endpoint(alice, "iris")
        assert self.post(as_alice, replicas="3", memory_mb="512").status_code == 302
        assert self.size() == (3, 512)

    def test_who_says_nothing_of_it_gets_one_replica(self, as_alice: Client) -> None:
        assert self.post(as_alice).status_code == 302
        assert self.size() == (1, 2048)

    def test_what_is_wrong_with_it_is_in_view(self, as_alice: Client) -> None:
        response = self.post(as_alice, replicas="99")
        assert response.status_code == 422
        (fold,) = (e for e in page(response).all("details") if e.attributes.get("id") == "size")
        assert "open" in fold.attributes
        assert not Deployment.objects.exists()
