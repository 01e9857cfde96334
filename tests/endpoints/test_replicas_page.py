"""A deployment's replicas on its endpoint's page: a row each, kept up to date, and what lists make of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints.models import (
    Deployment,
    Endpoint,
    Replica,
    ReplicaState,
    State,
    Wanted,
)
from studio.accounts.models import User
from tests.support.pages import Element, Page, page
from tests.support.serving import make_deployment, make_replica

IRIS = "/endpoints/iris/"
BLUE = f"{IRIS}deployments/blue/"
MIB = 1024 * 1024


@pytest.fixture
def live(alice: User, iris: Endpoint) -> Deployment:
    since = now() - timedelta(days=1)
    return make_deployment(alice, iris, state=State.LIVE, traffic=100, state_at=since)


def row_of(shown: Page, name: str) -> list[str]:
    """What stands in the cells of the row with this id."""
    place = next(n for n, e in enumerate(shown.elements) if e.attributes.get("id") == name)
    cells = []
    for element in shown.elements[place + 1 :]:
        if element.tag == "tr":
            break
        if element.tag == "td":
            cells.append(" ".join(element.text.split()))
    return cells


def part(shown: Page) -> Element:
    (found,) = (e for e in shown.elements if e.attributes.get("id") == "replicas")
    return found


class TestReplicas:
    def test_each_has_a_row_of_what_is_known_of_it(
        self, as_alice: Client, live: Deployment
    ) -> None:
        replica = make_replica(
            live,
            pid=4242,
            memory_bytes=212 * MIB + 7,
            cpu_percent=12.4,
            restarts=3,
            reason="it was ended by SIGSEGV.",
            started_at=now() - timedelta(minutes=3),
        )
        shown = page(as_alice.get(IRIS))
        cells = row_of(shown, f"replica-{replica.pk}")
        assert cells[:4] == [str(replica.pk), "Ready", "212 MB", "12 %"]
        assert cells[4].startswith("3 min")
        assert cells[5:] == ["3", "4242", "Log"]
        (meter,) = shown.all("meter")
        assert (meter["value"], meter["max"], meter["high"]) == ("212", "2048", "1638")
        assert "Last end: it was ended by SIGSEGV." in shown.texts("div")
        assert (
            shown.link("Log") == f"{IRIS}?tab=logs&deployment=blue&attempt=1&replica={replica.pk}"
        )

    def test_of_one_that_runs_and_does_not_answer_it_is_told_as_news(
        self, as_alice: Client, live: Deployment
    ) -> None:
        silent = {"pid": 4242, "reason": "it has not answered for 10 s."}
        make_replica(live, ReplicaState.UNREADY, **silent)
        assert "Now: it has not answered for 10 s." in page(as_alice.get(IRIS)).texts("div")

    def test_what_is_not_known_is_a_dash(self, as_alice: Client, live: Deployment) -> None:
        replica = make_replica(live, ReplicaState.STARTING, started_at=None)
        cells = row_of(page(as_alice.get(IRIS)), f"replica-{replica.pk}")
        assert cells[1:] == ["Starting", "–", "–", "–", "0", "–", "Log"]

    @pytest.mark.parametrize(
        ("given", "label"),
        [
            ({"wanted": False}, "Ending"),
            ({"outdated": True}, "Outdated"),
            ({"state": ReplicaState.UNREADY}, "Unready"),
            ({"state": ReplicaState.GONE, "outdated": True, "reason": "It ended."}, "Gone"),
        ],
    )
    def test_its_state_says_what_will_become_of_it(
        self, as_alice: Client, live: Deployment, given: dict[str, Any], label: str
    ) -> None:
        replica = make_replica(live, **given)
        assert row_of(page(as_alice.get(IRIS)), f"replica-{replica.pk}")[1] == label

    def test_of_those_that_are_gone_the_last_few_are_kept_in_view(
        self, as_alice: Client, live: Deployment
    ) -> None:
        gone = [make_replica(live, ReplicaState.GONE, reason="It ended.").pk for _ in range(7)]
        make_replica(live, ReplicaState.GONE)  # as it was asked to
        present = make_replica(live).pk
        ids = [e.attributes.get("id", "") for e in page(as_alice.get(f"{BLUE}replicas/")).all("tr")]
        rows = [name for name in ids if name.startswith("replica-")]
        assert rows == [f"replica-{pk}" for pk in (present, *gone[:1:-1])]

    def test_those_of_earlier_attempts_are_shown_while_they_run(
        self, as_alice: Client, live: Deployment
    ) -> None:
        gone, runs = make_replica(live, ReplicaState.GONE, reason="x"), make_replica(live)
        live.attempts.create(number=2)
        rows = [
            e.attributes.get("id", "") for e in page(as_alice.get(f"{BLUE}replicas/")).all("tr")
        ]
        assert f"replica-{runs.pk}" in rows
        assert f"replica-{gone.pk}" not in rows

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"state": State.BUILDING}, "It is started once its environment is there."),
            ({"state": State.FAILED}, "None was started: the attempt failed before."),
            ({"state": State.STOPPED, "wanted": Wanted.STOPPED}, "Start it, and 1 of them is started."),
        ],
    )  # fmt: skip
    def test_where_there_is_none_it_says_why(
        self, as_alice: Client, alice: User, iris: Endpoint, given: dict[str, Any], words: str
    ) -> None:
        make_deployment(alice, iris, **given)
        assert words in " ".join(part(page(as_alice.get(IRIS))).text.split())

    def test_on_the_way_there_is_a_row_for_each_that_is_to_come(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        """So that nothing moves when they do."""
        blue = make_deployment(alice, iris, state=State.STARTING, replicas_wanted=3)
        make_replica(blue, ReplicaState.STARTING)
        rows = page(as_alice.get(f"{BLUE}replicas/")).texts("tr")
        assert len(rows) == 4
        assert sum("To come" in row for row in rows) == 2

    def test_it_asks_again_while_something_runs(self, as_alice: Client, live: Deployment) -> None:
        replica = make_replica(live, memory_bytes=MIB)
        shown = part(page(as_alice.get(IRIS)))
        assert shown["hx-trigger"] == "every 2s"
        Replica.objects.filter(pk=replica.pk).update(memory_bytes=99 * MIB)
        response = as_alice.get(shown["hx-get"])
        assert row_of(page(response), f"replica-{replica.pk}")[2] == "99 MB"
        assert page(response).all("html") == []
        assert "HX-Trigger" not in response
        Replica.objects.filter(pk=replica.pk).update(state=ReplicaState.GONE)
        assert "hx-get" not in part(page(as_alice.get(shown["hx-get"]))).attributes

    def test_it_tells_the_page_of_what_has_changed_on_any_deployment(
        self, as_alice: Client, alice: User, iris: Endpoint, live: Deployment
    ) -> None:
        make_replica(live)
        asked = part(page(as_alice.get(IRIS)))["hx-get"]
        green = make_deployment(alice, iris, "green", changes=3)
        response = as_alice.get(asked)
        assert response["HX-Trigger"] == "news"
        assert "HX-Trigger" not in as_alice.get(part(page(response))["hx-get"])
        Deployment.objects.filter(pk=green.pk).update(changes=4)
        assert "HX-Trigger" in as_alice.get(part(page(response))["hx-get"])

    @pytest.mark.parametrize("count", [1, 8])
    def test_it_takes_as_many_statements_for_many_as_for_one(
        self, as_alice: Client, live: Deployment, count: int, django_assert_num_queries: Any
    ) -> None:
        for _ in range(count):
            make_replica(live)
        # session, user, endpoint, deployment, changes, those that are there, those that are gone
        with django_assert_num_queries(7):
            as_alice.get(f"{BLUE}replicas/")

    def test_the_table_of_deployments_counts_what_is_ready_of_what_is_wanted(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.LIVE, replicas_wanted=3)
        make_replica(blue)
        make_replica(blue, ReplicaState.STARTING)
        green = make_deployment(alice, iris, "green", state=State.STOPPED, wanted=Wanted.STOPPED)
        shown = page(as_alice.get(IRIS))
        assert row_of(shown, f"deployment-{blue.pk}")[4] == "1 / 3"
        assert row_of(shown, f"deployment-{green.pk}")[4] == "–"


# One that got live a minute ago has a line of its own, which must not hide these.
@pytest.mark.parametrize("ago", [timedelta(minutes=1), timedelta(days=1)])
class TestTold:
    def told(self, client: Client, ago: timedelta, **given: Any) -> Element:
        Deployment.objects.update(state_at=now() - ago, **given)
        shown = page(client.get(IRIS))
        (note,) = (e for e in shown.all("div") if e.attributes.get("id") == "told")
        return note

    def test_of_a_crash_loop_though_it_is_live(
        self, as_alice: Client, live: Deployment, ago: timedelta
    ) -> None:
        note = self.told(as_alice, ago, reason="Replica 7 has ended 5 times in a row.")
        assert note["class"] == "note warn told"
        assert "5 times in a row" in note.text

    def test_that_it_is_being_stopped(
        self, as_alice: Client, live: Deployment, ago: timedelta
    ) -> None:
        note = self.told(as_alice, ago, wanted=Wanted.STOPPED)
        assert "blue is being stopped. It keeps its 100 % of the traffic" in note.text

    def test_that_it_is_being_deleted(
        self, as_alice: Client, live: Deployment, ago: timedelta
    ) -> None:
        assert "being ended and deleted" in self.told(as_alice, ago, wanted=Wanted.GONE).text


@pytest.mark.parametrize("where", ["/", "/endpoints/"])
def test_lists_tell_of_what_is_paused(
    as_alice: Client, alice: User, iris: Endpoint, where: str
) -> None:
    make_deployment(alice, iris, state=State.STOPPED, wanted=Wanted.STOPPED)
    pills = [e for e in page(as_alice.get(where)).all("span") if e.text == "Paused"]
    assert [e["class"].strip() for e in pills] == ["pill"]
