"""Several replicas, and a deployment that is stopped, started and restarted: rows only, with the engine played."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.utils.timezone import now

from endpoints import lifecycle, logs, services
from endpoints.models import (
    STEPS,
    AttemptStep,
    Deployment,
    Replica,
    ReplicaState,
    State,
    Wanted,
)
from studio.accounts.models import User
from tests.support.serving import (
    bring_live,
    deploy,
    last_attempt,
    make_deployment,
    make_replica,
    play_engine,
    servable,
    settle,
)

GONE, READY, UNREADY = ReplicaState.GONE, ReplicaState.READY, ReplicaState.UNREADY
STARTING = ReplicaState.STARTING


def replicas() -> list[tuple[str, bool, bool]]:
    """State, whether it goes on, whether it is outdated; of those that are there."""
    present = Replica.objects.present()
    return list(present.values_list("state", "wanted", "outdated"))


def play(replica: int, **fields: object) -> None:
    """Write what the engine would about one of the replicas, counted from 0 in the order of their coming."""
    pks = Replica.objects.values_list("pk", flat=True)
    Replica.objects.filter(pk=pks[replica]).update(**fields)


def end_what_shall_end() -> None:
    Replica.objects.filter(wanted=False).update(state=GONE)


def all_ready() -> None:
    Replica.objects.present().filter(wanted=True).update(state=READY, started_at=now())


@pytest.fixture
def live(alice: User) -> Deployment:
    return bring_live(deploy(alice, servable()))


@pytest.fixture
def three(alice: User, live: Deployment) -> Deployment:
    services.scale(deployment=live, by=alice, replicas=3)
    settle(live)
    all_ready()
    return settle(live)


class TestSeveral:
    def test_it_gets_live_with_the_first_and_then_has_the_others(self, alice: User) -> None:
        deployment = deploy(alice, servable())
        services.scale(deployment=deployment, by=alice, replicas=3)
        settle(deployment)
        assert replicas() == [(STARTING, True, False)]
        play_engine(deployment, state=READY, started_at=now())
        assert settle(deployment).state == State.LIVE
        assert replicas() == [(READY, True, False)] + [(STARTING, True, False)] * 2
        steps = AttemptStep.objects.values_list("name", "failed")
        assert list(steps) == [(state, False) for state in STEPS]

    def test_one_that_its_engine_starts_again_is_not_replaced_too(self, three: Deployment) -> None:
        play(0, state=UNREADY, pid=None)
        play(1, state=STARTING)
        assert settle(three).state == State.LIVE
        assert Replica.objects.count() == 3

    def test_one_that_is_gone_is_replaced(self, three: Deployment) -> None:
        play(1, state=GONE)
        settle(three)
        assert replicas() == [(READY, True, False)] * 2 + [(STARTING, True, False)]

    def test_a_smaller_number_ends_the_newest_that_answer_last(
        self, alice: User, three: Deployment
    ) -> None:
        play(0, state=UNREADY)
        services.scale(deployment=three, by=alice, replicas=1)
        settle(three)
        assert replicas() == [(UNREADY, False, False), (READY, True, False), (READY, False, False)]
        assert "ending replicas, 1 shall run" in logs.tail(logs.of_attempt(last_attempt(three)), 9)

    def test_down_and_up_again_before_they_have_ended(self, alice: User, three: Deployment) -> None:
        services.scale(deployment=three, by=alice, replicas=1)
        settle(three)
        services.scale(deployment=three, by=alice, replicas=2)
        settle(three)
        kept = [row for row in replicas() if row[1]]
        assert kept == [(READY, True, False), (STARTING, True, False)]

    def test_a_replica_of_an_earlier_attempt_is_none_of_its_own(
        self, alice: User, live: Deployment
    ) -> None:
        make_replica(live, wanted=False)  # drains
        services.stop_deployment(deployment=live, by=alice)
        settle(live)
        end_what_shall_end()
        settle(live)
        services.start_deployment(deployment=live, by=alice)
        settle(live)
        Replica.objects.filter(attempt__number=1).update(state=READY)  # were it still draining
        deployment = settle(live)
        assert deployment.state == State.STARTING
        assert Replica.objects.filter(attempt__number=2).count() == 1

    def test_what_goes_wrong_while_it_is_live_does_not_end_it(
        self, alice: User, live: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        services.scale(deployment=live, by=alice, replicas=2)

        def broken(path: object, line: str) -> None:
            raise PermissionError("not yours")

        with monkeypatch.context() as patch:
            patch.setattr(logs, "write", broken)
            assert lifecycle.reconcile(live.pk) is False
        assert Deployment.objects.get().state == State.LIVE
        assert list(Deployment.objects.unsettled()) == [live]
        settle(live)
        assert len(replicas()) == 2


class TestStopped:
    def test_replicas_end_and_everything_else_is_kept(self, alice: User, live: Deployment) -> None:
        services.stop_deployment(deployment=live, by=alice)
        deployment = settle(live)
        assert deployment.state == State.STOPPING
        assert replicas() == [(READY, False, False)]
        end_what_shall_end()
        deployment = settle(live)
        assert (deployment.state, deployment.wanted) == (State.STOPPED, Wanted.STOPPED)
        assert (deployment.traffic, deployment.environment) == (100, live.environment)
        assert (settings.HOME.models / str(live.pk) / "MLmodel").is_file()
        told = logs.read(logs.of_attempt(last_attempt(live))).lines
        assert [line[9:] for line in told[-3:]] == ["live", "stopping", "stopped"]

    def test_started_again_it_gets_live_with_the_traffic_that_it_had(
        self, alice: User, live: Deployment
    ) -> None:
        Deployment.objects.update(traffic=40)
        services.stop_deployment(deployment=live, by=alice)
        settle(live)
        end_what_shall_end()
        services.start_deployment(deployment=settle(live), by=alice)
        deployment = bring_live(live)
        assert (deployment.state, deployment.traffic) == (State.LIVE, 40)
        assert [attempt.number for attempt in deployment.attempts.all()] == [2, 1]
        done = AttemptStep.objects.filter(attempt__number=2, ended_at__isnull=False)
        assert list(done.values_list("name", flat=True)) == list(STEPS)

    @pytest.mark.parametrize("state", [State.QUEUED, *STEPS, State.LIVE])
    def test_from_any_state_it_comes_to_rest_and_can_be_started(
        self, alice: User, state: State
    ) -> None:
        deployment = deploy(alice, servable())
        Deployment.objects.update(state=state)
        AttemptStep.objects.create(attempt=last_attempt(deployment), name=State.RESOLVING)
        services.stop_deployment(deployment=deployment, by=alice)
        stopped = settle(deployment)
        assert (stopped.state, stopped.reason) == (State.STOPPED, "")
        assert not AttemptStep.objects.exists()  # what came to nothing has neither ended nor failed
        services.start_deployment(deployment=stopped, by=alice)
        assert bring_live(deployment).state == State.LIVE

    def test_one_that_fails_after_the_stop_was_asked_for_rests_too(self, alice: User) -> None:
        deployment = make_deployment(
            alice, state=State.FAILED, wanted=Wanted.STOPPED, reason="it was just then"
        )
        stopped = settle(deployment)
        assert (stopped.state, stopped.reason) == (State.STOPPED, "")

    def test_a_stop_and_a_start_before_anybody_looked_change_nothing(
        self, alice: User, live: Deployment
    ) -> None:
        services.stop_deployment(deployment=live, by=alice)
        services.start_deployment(deployment=live, by=alice)
        assert settle(live).state == State.LIVE
        assert replicas() == [(READY, True, False)]
        assert live.attempts.count() == 1

    def test_a_start_while_it_is_being_stopped_is_done_once_it_has(
        self, alice: User, live: Deployment
    ) -> None:
        services.stop_deployment(deployment=live, by=alice)
        settle(live)
        services.start_deployment(deployment=live, by=alice)
        assert settle(live).state == State.STOPPING
        end_what_shall_end()
        deployment = settle(live)
        assert (deployment.state, deployment.wanted) == (State.STARTING, Wanted.LIVE)
        assert bring_live(live).state == State.LIVE
        assert live.attempts.count() == 2

    def test_and_another_stop_in_the_middle_of_it_is_a_stop(
        self, alice: User, live: Deployment
    ) -> None:
        services.stop_deployment(deployment=live, by=alice)
        settle(live)
        services.start_deployment(deployment=live, by=alice)
        services.stop_deployment(deployment=live, by=alice)
        end_what_shall_end()
        assert settle(live).state == State.STOPPED
        assert live.attempts.count() == 1

    @pytest.mark.parametrize("ended", [False, True])
    def test_a_stopped_one_is_deleted_wholly(
        self, alice: User, live: Deployment, ended: bool
    ) -> None:
        services.stop_deployment(deployment=live, by=alice)
        settle(live)
        if ended:
            end_what_shall_end()
            assert settle(live).state == State.STOPPED
        services.delete_deployment(deployment=live, by=alice)
        end_what_shall_end()
        while lifecycle.reconcile(live.pk):
            pass
        assert not Deployment.objects.exists()
        assert not (settings.HOME.models / str(live.pk)).exists()

    def test_what_runs_of_it_all_the_same_is_ended(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.STOPPED, wanted=Wanted.STOPPED)
        stray = make_replica(deployment)
        assert list(Deployment.objects.unsettled()) == [deployment]
        assert settle(deployment).state == State.STOPPED
        stray.refresh_from_db()
        assert not stray.wanted


class TestRestarted:
    def test_new_ones_come_first_and_no_fewer_answer_meanwhile(
        self, alice: User, three: Deployment
    ) -> None:
        services.restart_deployment(deployment=three, by=alice)
        settle(three)
        old, new = (READY, True, True), (STARTING, True, False)
        assert replicas() == [old] * 3 + [new] * 3
        for number in (3, 4):
            play(number, state=READY, started_at=now())
            settle(three)
            answer = Replica.objects.filter(state=READY, wanted=True)
            assert answer.count() == 3
        play(5, state=READY, started_at=now())
        settle(three)
        assert not Replica.objects.filter(outdated=True, wanted=True).exists()
        assert Deployment.objects.get().state == State.LIVE
        assert three.attempts.count() == 1

    def test_while_the_new_one_does_not_get_ready_the_old_one_goes_on(
        self, alice: User, live: Deployment
    ) -> None:
        services.restart_deployment(deployment=live, by=alice)
        settle(live)
        play(1, state=UNREADY, restarts=7)
        settle(live)
        assert replicas() == [(READY, True, True), (UNREADY, True, False)]

    def test_clicked_again_and_again_it_does_not_pile_up(
        self, alice: User, three: Deployment
    ) -> None:
        for _ in range(4):
            services.restart_deployment(deployment=three, by=alice)
            settle(three)
            play(-1 + Replica.objects.count(), state=READY, started_at=now())
            settle(three)
        kept = Replica.objects.present().filter(wanted=True)
        assert kept.filter(state=READY).count() == 3
        assert kept.count() == 5
        all_ready()
        settle(three)
        assert kept.count() == 3

    def test_made_smaller_meanwhile_the_surplus_goes_at_once(
        self, alice: User, three: Deployment
    ) -> None:
        services.restart_deployment(deployment=three, by=alice)
        settle(three)
        services.scale(deployment=three, by=alice, replicas=1)
        settle(three)
        kept = [row for row in replicas() if row[1]]
        assert kept == [(READY, True, True), (STARTING, True, False)]
