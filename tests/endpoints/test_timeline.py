"""An attempt's steps and their times, what became of each attempt, and what to do after a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from endpoints import logs
from endpoints.models import (
    ENDPOINT,
    STEPS,
    Attempt,
    AttemptStep,
    Deployment,
    Endpoint,
    State,
    Wanted,
)
from endpoints.timeline import attempt_rows, step_rows, suggestion
from studio.accounts.models import User
from tests.support.grants import grant_studio
from tests.support.pages import Page, page
from tests.support.serving import last_attempt, make_deployment

IRIS = "/endpoints/iris/"
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def took(attempt: Attempt, *seconds: float | None, failed: bool = False) -> None:
    """Steps one after another from noon on; None: the last one has not ended."""
    Attempt.objects.filter(pk=attempt.pk).update(started_at=NOON - timedelta(seconds=1))
    attempt.refresh_from_db()
    at = NOON
    for state, length in zip(STEPS, seconds, strict=False):
        ended = None if length is None else at + timedelta(seconds=length)
        step = AttemptStep.objects.create(attempt=attempt, name=state, ended_at=ended)
        AttemptStep.objects.filter(pk=step.pk).update(started_at=at)
        at = ended or at
    if failed:
        AttemptStep.objects.filter(pk=step.pk).update(failed=True)


class TestSteps:
    def test_each_has_its_part_of_the_time_and_says_when_exactly(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.LIVE)
        took(last_attempt(deployment), 1, 3, 16)
        rows = step_rows(last_attempt(deployment), deployment)
        assert [row.mark for row in rows] == ["done"] * 3 + ["todo"] * 3
        assert [(row.left, row.width) for row in rows[:3]] == [(0, 5), (5, 15), (20, 80)]
        assert rows[1].times == "2026-03-01 12:00:01.000 to 12:00:04.000 UTC"
        assert [row.seconds for row in rows] == [1, 3, 16, None, None, None]

    def test_one_that_took_no_time_is_seen(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.LIVE)
        took(last_attempt(deployment), 0, 1000)
        assert step_rows(last_attempt(deployment), deployment)[0].width == 0.6

    def test_attempts_without_a_step_divide_by_nothing(self, alice: User) -> None:
        deployment = make_deployment(alice)
        assert {row.mark for row in step_rows(last_attempt(deployment), deployment)} == {"todo"}

    @pytest.mark.parametrize("wanted", [Wanted.GONE, Wanted.STOPPED])
    def test_what_is_wanted_no_more_runs_no_more(self, alice: User, wanted: Wanted) -> None:
        deployment = make_deployment(alice, state=State.BUILDING, wanted=wanted)
        took(last_attempt(deployment), 1, 1, None)
        assert step_rows(last_attempt(deployment), deployment)[2].mark == "todo"

    def test_a_step_that_an_earlier_attempt_left_does_not_run(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.BUILDING)
        took(last_attempt(deployment), 1, 1, None)
        rows = step_rows(last_attempt(deployment), deployment, is_last=False)
        assert rows[2].mark == "todo"
        assert step_rows(last_attempt(deployment), deployment)[2].mark == "now"


class TestAttempts:
    def outcome(self, deployment: Deployment) -> tuple[str, str, float | None]:
        (row,) = attempt_rows([last_attempt(deployment)], deployment)
        return row.outcome, row.mark, row.seconds

    def test_one_that_failed_names_its_step_and_its_time_with_the_queue(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FAILED)
        took(last_attempt(deployment), 1, 3, 5, failed=True)
        assert self.outcome(deployment) == ("failed: Building the environment", "bad", 10)

    def test_one_that_failed_before_its_first_step(self, alice: User) -> None:
        assert self.outcome(make_deployment(alice, state=State.FAILED)) == ("failed", "bad", None)

    def test_one_that_got_live(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.LIVE)
        took(last_attempt(deployment), *[1] * len(STEPS))
        assert self.outcome(deployment) == ("got live", "good", 7)

    def test_one_that_runs_counts_on(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FETCHING)
        took(last_attempt(deployment), 1, None)
        outcome, mark, seconds = self.outcome(deployment)
        assert (outcome, mark) == ("Fetching the model", "busy")
        assert seconds == pytest.approx((now() - NOON).total_seconds() + 1, abs=5)

    def test_one_that_was_stopped(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.STOPPED, wanted=Wanted.STOPPED)
        took(last_attempt(deployment), 1, None)
        assert self.outcome(deployment)[:2] == ("stopped on its way", "")


NOT_INSTALLED = "The model's requirements could not be installed."
OR_THE_INDEX = (
    "Correct them and log the model again; or try again, if the package index was out of reach."
)


# What steps say today, and what helps.
@pytest.mark.parametrize(
    ("step", "reason", "does"),
    [
        (State.RESOLVING, "models:/churn/1 has been deleted. Deploy another version.", "deploy"),
        (State.RESOLVING, "churn v1 has no python_function flavour, only spark.", "deploy"),
        (State.RESOLVING, "Studio could not do this step: PermissionError(13)", "retry"),
        (State.RESOLVING, "The artifact store is out of reach. Try again when it is back.", "retry"),
        (State.FETCHING, "No space left on device. Make room, then try again.", "retry"),
        (State.BUILDING, "The model asks for r-base from conda, which Studio does not install.", "deploy"),
        (State.BUILDING, f"{NOT_INSTALLED} Because x was not found. {OR_THE_INDEX}", "deploy"),
        (State.BUILDING, f"{NOT_INSTALLED} uv was ended by SIGKILL. Try again.", "retry"),
        (State.STARTING, "The model did not load: it could not be started: OSError", "retry"),
        (State.PROBING, "The model did not load: its code raised an error. ValueError: no", "deploy"),
        (State.PROBING, "The model did not load: it was ended by SIGSEGV.", "deploy"),
        (State.PROBING, "The model did not load: it was ended by SIGKILL, perhaps for want of memory.", "size"),
        (State.PROBING, "It held 2,113 MiB, more than the limit of 2,048 MiB.", "size"),
        (State.PROBING, "The model was not ready after 10 minutes. Its log says more.", "retry"),
        (State.TRYING, "The model fails on its own input example: KeyError", "deploy"),
        (State.TRYING, "The replica did not answer the model's input example: no.", "retry"),
        ("", "whatever", "retry"),
    ],
)  # fmt: skip
def test_there_is_one_thing_to_do_after_a_failure(step: str, reason: str, does: str) -> None:
    assert suggestion(step, reason).does == does


class TestPage:
    def failed(self, alice: User, iris: Endpoint, reason: str, detail: str = "") -> Deployment:
        blue = make_deployment(alice, iris, state=State.FAILED, reason=reason, detail=detail)
        took(last_attempt(blue), 1, 1, 1, failed=True)
        return blue

    def primary(self, shown: Page) -> list[str]:
        buttons = [e for e in shown.elements if "primary" in e.attributes.get("class", "").split()]
        return [" ".join(e.text.split()) for e in buttons]

    def test_the_failed_step_is_open_with_the_end_of_what_was_printed(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        detail = "\n".join(f"line {number}" for number in range(100))
        self.failed(alice, iris, "The requirements could not be installed.", detail)
        shown = page(as_alice.get(IRIS))
        (failed,) = (e for e in shown.all("li") if e["class"] == "failed")
        assert "The requirements could not be installed." in failed.text
        assert "line 99" in failed.text
        assert "line 80" not in failed.text
        assert "log it again, and deploy the new version" in failed.text
        assert self.primary(shown) == ["Deploy another version"]
        assert shown.link("Deploy another version") == "/models/churn/?endpoint=iris"
        assert shown.link("The line in the log") == (
            f"{IRIS}?tab=logs&deployment=blue&attempt=1#error"
        )

    def test_who_needs_more_memory_is_led_to_the_size(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        self.failed(alice, iris, "It held 3,000 MiB, more than the limit of 2,048 MiB.")
        shown = page(as_alice.get(IRIS))
        assert self.primary(shown) == ["Raise the memory limit"]
        assert shown.link("Raise the memory limit") == f"{IRIS}deployments/blue/size/"

    def test_who_may_only_read_is_offered_nothing(
        self, as_bob: Client, bob: User, alice: User, iris: Endpoint
    ) -> None:
        grant_studio(bob, ENDPOINT, iris.pk, "READ")
        self.failed(alice, iris, "It did not load.")
        shown = page(as_bob.get(IRIS))
        assert "It did not load." in shown.texts("p")
        assert self.primary(shown) == []

    def test_every_attempt_can_be_chosen_and_tells_its_own_story(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        blue = self.failed(alice, iris, "The second reason.")
        logs.write(logs.of_attempt(last_attempt(blue)), "FAILED: The first reason.")
        second = blue.attempts.create(number=2)
        took(second, 1, failed=True)
        shown = page(as_alice.get(IRIS))
        table = [text for text in shown.texts("tr") if text.startswith("Attempt ")]
        assert [row[:9] for row in table] == ["Attempt 2", "Attempt 1"]
        assert "failed: Resolving the model" in table[0]
        assert "2.0 s" in table[0]  # with the second in the queue
        assert "failed: Building the environment" in table[1]
        assert "The second reason." in shown.texts("p")
        first = page(as_alice.get(shown.link("Attempt 1")))
        assert "blue · attempt 1" in first.texts("h2")
        assert "The first reason." in first.texts("p")
        assert "The second reason." not in " ".join(first.texts("p"))
        assert self.primary(first) == []
        assert "FAILED: The first reason." in first.texts("pre")[-1]

    @pytest.mark.parametrize("count", [1, 30])
    def test_it_takes_as_many_statements_for_many_attempts_as_for_one(
        self,
        as_alice: Client,
        alice: User,
        iris: Endpoint,
        count: int,
        django_assert_num_queries: Any,
    ) -> None:
        blue = self.failed(alice, iris, "It did not load.")
        for number in range(2, count + 1):
            took(blue.attempts.create(number=number), 1, 1, failed=True)
        # session, user, endpoint; endpoint, deployments, replicas; attempts, steps;
        # replicas that are there, that are gone; of the log: replicas, their numbers
        with django_assert_num_queries(12):
            shown = page(as_alice.get(IRIS))
        assert len([row for row in shown.texts("tr") if row.startswith("Attempt ")]) == (
            count if count > 1 else 0
        )
