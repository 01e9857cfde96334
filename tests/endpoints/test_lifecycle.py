"""From queued to live, to failed, to gone: rows and files only, with the engine played by the test."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DataError, OperationalError
from django.utils.timezone import now

from endpoints import lifecycle, logs, services
from endpoints.environments import Cancelled
from endpoints.models import (
    STEPS,
    AttemptStep,
    Deployment,
    Replica,
    ReplicaState,
    State,
)
from studio.accounts.models import User
from tests.support.serving import (
    NO_PYFUNC,
    bring_live,
    deploy,
    last_attempt,
    make_deployment,
    make_endpoint,
    make_replica,
    play_engine,
    servable,
    settle,
)


def the_log(deployment: Deployment, attempt: int = 1) -> str:
    path = logs.of_attempt(deployment.attempts.get(number=attempt))
    return "\n".join(logs.read(path).lines)


def the_steps(deployment: Deployment, attempt: int = 1) -> list[tuple[str, bool, bool]]:
    """Name, whether it ended, whether it failed."""
    found = AttemptStep.objects.filter(attempt__deployment=deployment, attempt__number=attempt)
    return [(step.name, step.ended_at is not None, step.failed) for step in found]


def break_step(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Have the machine fail under the step that fetches: listing the model's folder raises."""

    def broken(path: Path, pattern: str) -> None:
        raise failure

    monkeypatch.setattr(Path, "rglob", broken)


class TestOnTheWay:
    def test_it_waits_for_the_engine_where_it_starts(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        assert deployment.state == State.STARTING
        (replica,) = Replica.objects.all()
        assert (replica.wanted, replica.state) == (True, ReplicaState.STARTING)
        assert replica.attempt == last_attempt(deployment)

    def test_each_piece_of_news_takes_it_on(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, started_at=now())
        assert settle(deployment).state == State.PROBING
        play_engine(deployment, state=ReplicaState.READY)
        assert settle(deployment).state == State.LIVE

    def test_a_live_one_has_done_each_step_and_told_of_it(self, alice: User) -> None:
        deployment = bring_live(deploy(alice, servable()))
        assert deployment.state == State.LIVE
        assert the_steps(deployment) == [(state, True, False) for state in STEPS]
        told = the_log(deployment)
        for words in ("attempt 1 of", "resolving models:/", "fetching 2 files", "in the cache"):
            assert words in told
        assert told.endswith("live")

    def test_what_the_steps_found_out_is_kept(self, alice: User) -> None:
        version = servable()
        deployment = bring_live(deploy(alice, version))
        assert deployment.storage == version.source
        assert (settings.HOME.environments / deployment.environment).is_dir()
        assert (settings.HOME.models / str(deployment.pk) / "MLmodel").is_file()

    def test_nothing_is_done_to_a_settled_one(self, alice: User) -> None:
        deployment = bring_live(deploy(alice, servable()))
        assert lifecycle.reconcile(deployment.pk) is False
        assert Deployment.objects.get().changes == deployment.changes

    def test_nothing_is_done_to_one_that_is_not_there(self, db: None) -> None:
        assert lifecycle.reconcile(12345) is False

    def test_the_lease_is_free_afterwards(self, alice: User) -> None:
        deployment = deploy(alice, servable())
        lifecycle.reconcile(deployment.pk)
        assert Deployment.objects.get().lease_holder == ""


class TestTraffic:
    def test_the_first_live_deployment_takes_all_and_the_second_none(self, alice: User) -> None:
        endpoint = make_endpoint(alice)
        blue = bring_live(deploy(alice, servable(), endpoint))
        green = services.deploy(endpoint=endpoint, version=servable(), name="green", by=alice)
        assert blue.traffic == 100
        assert bring_live(green).traffic == 0
        assert Deployment.objects.get(name="blue").traffic == 100

    def test_the_second_takes_all_when_the_first_never_got_live(self, alice: User) -> None:
        endpoint = make_endpoint(alice)
        settle(deploy(alice, servable(NO_PYFUNC), endpoint))
        green = services.deploy(endpoint=endpoint, version=servable(), name="green", by=alice)
        assert bring_live(green).traffic == 100

    def test_nothing_is_served_before_it_is_live(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, state=ReplicaState.READY, started_at=now())
        while deployment.state != State.LIVE:
            assert Deployment.objects.get().traffic == 0
            lifecycle.reconcile(deployment.pk)
            deployment.refresh_from_db()


class TestFailure:
    def test_the_step_is_marked_and_the_person_told(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable(NO_PYFUNC)))
        assert deployment.state == State.FAILED
        assert "has no python_function flavour, only spark" in deployment.reason
        assert the_steps(deployment) == [(State.RESOLVING, True, True)]
        assert f"FAILED: {deployment.reason}" in the_log(deployment)

    def test_a_replica_that_ended_gives_its_reason_and_its_last_words(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        replica = play_engine(deployment, started_at=now())
        settle(deployment)
        logs.write(logs.of_replica(replica), "ValueError: no such column")
        play_engine(deployment, state=ReplicaState.GONE, reason="its code raised an error.")
        deployment = settle(deployment)
        assert deployment.state == State.FAILED
        assert deployment.reason == "The model did not load: its code raised an error."
        assert deployment.detail.endswith("ValueError: no such column")
        assert the_steps(deployment)[-1] == (State.PROBING, True, True)
        assert "ValueError: no such column" in the_log(deployment)

    def test_one_that_ends_before_it_is_noted_to_have_started_fails_too(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, state=ReplicaState.GONE, reason="it could not be started: no.")
        assert settle(deployment).reason == "The model did not load: it could not be started: no."

    def test_a_model_that_does_not_get_ready_is_given_up(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, started_at=now())
        settle(deployment)
        late = now() - lifecycle.LOADING_PATIENCE - timedelta(seconds=1)
        Deployment.objects.update(state_at=late)
        deployment = settle(deployment)
        assert deployment.state == State.FAILED
        assert "was not ready after 10 minutes" in deployment.reason
        assert not Replica.objects.get().wanted

    def test_one_in_time_is_not_given_up(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, started_at=now())
        Deployment.objects.update(state_at=now() - lifecycle.LOADING_PATIENCE / 2)
        assert settle(deployment).state == State.PROBING

    def test_what_a_failed_attempt_left_running_is_asked_to_end_once(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FAILED)
        replica = make_replica(deployment)
        assert lifecycle.reconcile(deployment.pk) is True
        replica.refresh_from_db()
        assert not replica.wanted
        assert lifecycle.reconcile(deployment.pk) is False

    @pytest.mark.parametrize(
        ("failure", "told"),
        [
            (MemoryError("no room"), "MemoryError('no room')"),
            (OSError(28, "No space left on device"), "No space left on device"),
            (KeyError("gone"), "KeyError('gone')"),
            (DataError("value too long"), "DataError('value too long')"),
            (RuntimeError("nul \0 and half a pair \ud800"), "nul"),
        ],
    )
    def test_whatever_is_raised_ends_in_failed_with_its_traceback(
        self,
        alice: User,
        monkeypatch: pytest.MonkeyPatch,
        failure: Exception,
        told: str,
    ) -> None:
        deployment = deploy(alice, servable())
        for _ in (State.RESOLVING, State.FETCHING):
            lifecycle.reconcile(deployment.pk)
        with monkeypatch.context() as patch:
            break_step(patch, failure)
            assert lifecycle.reconcile(deployment.pk) is True
        deployment.refresh_from_db()
        assert deployment.state == State.FAILED
        assert told in deployment.reason
        assert "Traceback" in deployment.detail
        assert "in broken" in the_log(deployment)

    def test_a_log_with_bytes_that_no_database_takes_is_told_without_them(
        self, alice: User
    ) -> None:
        deployment = settle(deploy(alice, servable()))
        replica = play_engine(deployment, state=ReplicaState.GONE, reason="it ended.")
        path = logs.of_replica(replica)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"before \0 after \xff\n")
        deployment = settle(deployment)
        assert deployment.state == State.FAILED
        assert deployment.detail == "before  after \ufffd"

    def test_a_long_list_of_flavours_is_told_in_part(self, alice: User) -> None:
        flavours = "".join(f"  flavour{number:04}: {{}}\n" for number in range(100))
        version = servable(f"flavors:\n  python_function: {{}}\n{flavours}mlflow_version: 3.17.2\n")
        deployment = settle(deploy(alice, version))
        assert deployment.state == State.STARTING
        step = AttemptStep.objects.get(name=State.RESOLVING)
        assert step.detail.startswith("flavour0000, flavour0001")

    def test_a_disk_that_takes_no_log_still_ends_in_failed(self, alice: User) -> None:
        deployment = deploy(alice, servable(NO_PYFUNC))
        lifecycle.reconcile(deployment.pk)
        path = logs.of_attempt(last_attempt(deployment))
        path.unlink()
        path.mkdir()
        lifecycle.reconcile(deployment.pk)
        deployment.refresh_from_db()
        assert deployment.state == State.FAILED
        assert "Is a directory" in deployment.reason

    @pytest.mark.parametrize("failure", [OperationalError("gone"), Cancelled("unwanted")])
    def test_a_database_that_went_away_fails_nothing(
        self, alice: User, monkeypatch: pytest.MonkeyPatch, failure: Exception
    ) -> None:
        deployment = deploy(alice, servable())
        for _ in (State.RESOLVING, State.FETCHING):
            lifecycle.reconcile(deployment.pk)
        with monkeypatch.context() as patch:
            break_step(patch, failure)
            again = lifecycle.reconcile(deployment.pk)
        assert again is isinstance(failure, Cancelled)
        assert Deployment.objects.get().state == State.FETCHING
        assert settle(deployment).state == State.STARTING


class TestRetry:
    def test_the_second_attempt_goes_its_own_way_and_the_first_log_stays(self, alice: User) -> None:
        version = servable(NO_PYFUNC)
        deployment = settle(deploy(alice, version))
        first = the_log(deployment)
        services.retry(deployment=deployment)
        mended = Path(settings.ARTIFACTS) / "models" / f"{version.name}-1" / "MLmodel"
        mended.write_text("flavors:\n  python_function: {}\nmlflow_version: 3.17.2\n")
        deployment = bring_live(deployment)
        assert deployment.state == State.LIVE
        assert deployment.reason == ""
        assert the_log(deployment, 1) == first
        assert "attempt 2 of" in the_log(deployment, 2)
        assert the_steps(deployment, 1) == [(State.RESOLVING, True, True)]
        assert the_steps(deployment, 2) == [(state, True, False) for state in STEPS]

    def test_it_may_fail_again_with_its_own_reason(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable(NO_PYFUNC)))
        services.retry(deployment=deployment)
        deployment = settle(deployment)
        assert deployment.state == State.FAILED
        assert the_steps(deployment, 2) == [(State.RESOLVING, True, True)]

    def test_a_quick_retry_ends_what_the_first_attempt_left_running(self, alice: User) -> None:
        deployment = deploy(alice, servable())
        left = make_replica(deployment)
        Deployment.objects.update(state=State.FAILED)
        deployment.refresh_from_db()
        services.retry(deployment=deployment)
        settle(deployment)
        left.refresh_from_db()
        assert not left.wanted
        assert Replica.objects.get(attempt__number=2).wanted

    def test_the_gone_replica_of_the_first_attempt_does_not_fail_the_second(
        self, alice: User
    ) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, state=ReplicaState.GONE, reason="boom")
        services.retry(deployment=settle(deployment))
        assert bring_live(deployment).state == State.LIVE


class TestReplicaNews:
    def test_trying_waits_for_a_replica_that_is_started_again(self, alice: User) -> None:
        deployment = settle(deploy(alice, servable()))
        play_engine(deployment, state=ReplicaState.READY, started_at=now())
        for _ in (State.PROBING, State.TRYING):
            lifecycle.reconcile(deployment.pk)
        play_engine(deployment, state=ReplicaState.STARTING)
        assert settle(deployment).state == State.TRYING
        play_engine(deployment, state=ReplicaState.READY)
        assert settle(deployment).state == State.LIVE

    def test_a_replica_that_ended_as_it_got_live_is_replaced(self, alice: User) -> None:
        deployment = bring_live(deploy(alice, servable()))
        play_engine(deployment, state=ReplicaState.GONE, reason="just then")
        deployment = settle(deployment)
        assert deployment.state == State.LIVE
        assert [row.state for row in Replica.objects.all()] == [
            ReplicaState.GONE,
            ReplicaState.STARTING,
        ]
