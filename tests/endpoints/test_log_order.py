"""An attempt's log and its replicas' are shown as one, in the order in which things happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from endpoints import logs, steps
from endpoints.environments import BuildFailed
from endpoints.models import Deployment, Endpoint, ReplicaState, State
from studio.accounts.models import User
from tests.support.pages import Page, page
from tests.support.serving import deploy as deploy_version
from tests.support.serving import (
    last_attempt,
    make_deployment,
    make_replica,
    play_engine,
    servable,
    settle,
)

IRIS = "/endpoints/iris/"
LOG = "/endpoints/iris/deployments/blue/log/"
BEGAN = datetime(2026, 3, 1, 9, 1, 40, tzinfo=UTC)


def get(client: Client, path: str, **query: Any) -> Page:
    response = client.get(path, query)
    assert response.status_code == 200, response.content
    return page(response)


class TestOrder:
    def test_lines_stand_by_their_times(self) -> None:
        build = ["09:01:42 starting a replica", "09:02:03 the replica is ready", "09:02:04 live"]
        replica = ["09:01:43 loading", "09:02:02 loaded in 19 s"]
        assert list(logs.in_order(build, [replica], BEGAN)) == [
            "09:01:42 starting a replica",
            "09:01:43 loading",
            "09:02:02 loaded in 19 s",
            "09:02:03 the replica is ready",
            "09:02:04 live",
        ]

    def test_of_one_second_the_replica_speaks_between_its_start_and_what_is_said_of_it(
        self,
    ) -> None:
        build = ["09:01:42 starting a replica", "09:01:42 the replica is ready", "09:01:42 live"]
        replica = ["09:01:42 loading", "09:01:42 serving"]
        assert [line[9:] for line in logs.in_order(build, [replica], BEGAN)] == [
            "starting a replica",
            "loading",
            "serving",
            "the replica is ready",
            "live",
        ]

    def test_a_further_replica_speaks_after_its_start(self) -> None:
        build = [
            "09:01:42 starting a replica",
            "09:01:43 live",
            "09:01:50 starting a further replica",
        ]
        further = ["09:01:50 loading", "09:01:50 serving"]
        assert list(logs.in_order(build, [["09:01:42 loading"], further], BEGAN)) == [
            build[0],
            "09:01:42 loading",
            *build[1:],
            *further,
        ]

    def test_a_line_without_a_time_goes_with_the_one_before_it(self) -> None:
        build = ["09:01:42 starting a replica", "09:02:00 FAILED"]
        replica = ["a print", "09:01:50 loading", "Traceback", "  File", "ValueError: 12:00:00 x"]
        assert list(logs.in_order(build, [replica], BEGAN)) == [
            "a print",
            build[0],
            *replica[1:],
            build[1],
        ]

    def test_times_go_on_over_midnight(self) -> None:
        began = datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC)
        build = ["23:59:51 starting a replica", "00:00:05 the replica is ready", "00:00:05 live"]
        replica = ["23:59:59 loading", "00:00:04 loaded"]
        assert [line[9:] for line in logs.in_order(build, [replica], began)] == [
            "starting a replica",
            "loading",
            "loaded",
            "the replica is ready",
            "live",
        ]

    def test_within_a_log_nothing_changes_places(self) -> None:
        replica = ["09:05:00 later", "09:04:59 written by another process", "09:05:01 last"]
        assert list(logs.in_order([], [replica], BEGAN)) == replica

    def test_two_replicas_do_not_tear_each_others_tracebacks(self) -> None:
        one = ["09:05:00 a request failed", "Traceback", "KeyError: one"]
        two = ["09:05:00 a request failed", "Traceback", "KeyError: two"]
        assert list(logs.in_order([], [one, two], BEGAN)) == one + two

    def test_what_the_replica_has_said_itself_is_not_said_again(self) -> None:
        build = [f"09:02:00 {logs.COPIED}ValueError: x", "09:02:00 FAILED: ValueError: x"]
        assert list(logs.in_order(build, [["ValueError: x"]], BEGAN)) == ["ValueError: x", build[1]]
        assert list(logs.in_order(build, [], BEGAN)) == build


def test_a_model_that_does_not_load_is_shown_once_on_the_page_and_kept_in_the_attempts_log(
    as_alice: Client, alice: User
) -> None:
    deployment = settle(deploy_version(alice, servable()))
    replica = play_engine(deployment, state=ReplicaState.GONE, reason="it ended.")
    logs.of_replica(replica).write_text("Traceback (most recent call last)\nValueError: no\n")
    assert settle(deployment).state == State.FAILED
    own = logs.read(logs.of_attempt(last_attempt(deployment))).lines
    assert sum("Traceback" in line for line in own) == 1
    shown = get(as_alice, deployment.endpoint.get_absolute_url()).all("pre")
    (log,) = (e for e in shown if e.attributes.get("class") == "log")
    assert log.text.count("Traceback") == 1


class TestTab:
    def links(self, shown: Page, name: str) -> dict[str, str]:
        """What a group of links offers, by its label; the current one is marked with a star."""
        start = next(
            place
            for place, e in enumerate(shown.elements)
            if e.tag == "nav" and e.attributes.get("aria-label") == name
        )
        found = {}
        for link in shown.elements[start + 1 :]:
            if link.tag != "a":
                break
            star = "*" if "aria-current" in link.attributes else ""
            found[link.text + star] = link["href"]
        return found

    def test_each_deployments_log_has_an_address(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        for name in ("blue", "green"):
            deployment = make_deployment(alice, iris, name, state=State.LIVE)
            logs.write(logs.of_attempt(last_attempt(deployment)), f"built {name}")
            logs.write(logs.of_replica(make_replica(deployment)), f"serving {name}")
        shown = get(as_alice, IRIS, tab="logs", deployment="blue")
        links = self.links(shown, "Deployment")
        assert links == {
            "blue*": f"{IRIS}?tab=logs&deployment=blue",
            "green": f"{IRIS}?tab=logs&deployment=green",
        }
        assert "built blue" in shown.texts("pre")[0]
        assert "serving blue" in shown.texts("pre")[0]
        other = page(as_alice.get(links["green"]))
        assert "built green" in other.texts("pre")[0]
        assert "blue" not in other.texts("pre")[0]

    def test_each_attempts_log_has_an_address_and_only_the_last_is_followed(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris, state=State.BUILDING)
        for line in ("the first", logs.STARTING):
            logs.write(logs.of_attempt(last_attempt(blue)), line)
        logs.write(logs.of_replica(make_replica(blue, ReplicaState.GONE)), "it loads")
        blue.attempts.create(number=2)
        logs.write(logs.of_attempt(last_attempt(blue)), "the second")
        shown = get(as_alice, IRIS, tab="logs")
        links = self.links(shown, "Attempt")
        assert [*links] == ["attempt 2*", "attempt 1"]
        (log,) = shown.all("pre")
        assert "the second" in log.text
        assert "data-settled" not in log.attributes
        (log,) = page(as_alice.get(links["attempt 1"])).all("pre")
        assert "the first" in log.text
        assert "it loads" in log.text
        assert "the second" not in log.text
        assert "data-settled" in log.attributes
        told = as_alice.get(log["data-src"]).json()
        assert [line[9:] for line in told["lines"]] == ["the first", logs.STARTING, "it loads"]
        assert told["settled"] is True

    def test_of_many_attempts_the_last_few_are_offered_with_the_one_that_is_shown(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = make_deployment(alice, iris)
        for number in range(2, 31):
            blue.attempts.create(number=number)
        links = self.links(get(as_alice, IRIS, tab="logs", attempt="4"), "Attempt")
        last = [f"attempt {number}" for number in range(30, 24, -1)]
        assert [*links] == [*last, "attempt 4*", "all 30"]
        assert links["all 30"] == f"{IRIS}?deployment=blue&attempt=4#attempts"

    @pytest.mark.parametrize(
        "query",
        [
            {"deployment": "none-such"},
            {"deployment": ""},
            {"attempt": "7"},
            {"attempt": "x"},
            {"attempt": "9" * 50},
        ],
    )
    def test_what_is_not_there_is_the_last_one(
        self, as_alice: Client, alice: User, iris: Endpoint, query: dict[str, str]
    ) -> None:
        logs.write(logs.of_attempt(last_attempt(make_deployment(alice, iris))), "here")
        assert "here" in get(as_alice, IRIS, tab="logs", **query).texts("pre")[0]

    def test_without_others_there_is_nothing_to_choose(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris)
        labels = {
            e.attributes.get("aria-label") for e in get(as_alice, IRIS, tab="logs").all("nav")
        }
        assert not labels & {"Deployment", "Attempt"}

    def test_a_stranger_to_the_endpoint_reads_no_attempts_log(
        self, as_bob: Client, alice: User, iris: Endpoint
    ) -> None:
        make_deployment(alice, iris)
        assert as_bob.get(LOG, {"attempt": "1"}).status_code == 404


def test_a_build_that_failed_says_it_once_in_its_log(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(work: Any) -> None:
        work.say("error: no such package")
        raise BuildFailed("It could not be installed.", detail="error: no such package")

    deployment = make_deployment(alice, state=State.BUILDING)
    monkeypatch.setattr(steps, "build", refuse)
    assert settle(deployment).state == State.FAILED
    told = logs.read(logs.of_attempt(last_attempt(deployment))).lines
    assert [line[9:] for line in told] == [
        "error: no such package",
        "FAILED: It could not be installed.",
    ]
    assert Deployment.objects.get().detail == "error: no such package"
