"""The end of a deployment and of its endpoint, and the tasks that get there: rows and files only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils.timezone import now

from endpoints import lifecycle, logs, services, steps, tasks
from endpoints.models import STEPS, Deployment, Endpoint, Replica, ReplicaState, State, Wanted
from endpoints.steps import Done, Work
from studio.accounts.models import User
from tests.support.serving import (
    bring_live,
    deploy,
    enqueued,
    last_attempt,
    make_deployment,
    make_endpoint,
    play_engine,
    servable,
    settle,
)


class TestTheEnd:
    def test_a_live_one_stops_waits_for_its_replicas_and_leaves_nothing(self, alice: User) -> None:
        deployment = bring_live(deploy(alice, servable()))
        files = [
            settings.HOME.models / str(deployment.pk),
            logs.of_attempt(last_attempt(deployment)),
        ]
        assert all(path.exists() for path in files)
        services.delete_deployment(deployment=deployment, by=alice)
        deployment = settle(deployment)
        assert deployment.state == State.STOPPING
        assert all(path.exists() for path in files)
        assert not Replica.objects.get().wanted
        play_engine(deployment, state=ReplicaState.GONE)
        assert lifecycle.reconcile(deployment.pk) is True
        assert not Deployment.objects.exists()
        assert not any(path.exists() for path in [*files, files[1].parent])
        assert Endpoint.objects.exists()

    @pytest.mark.parametrize("state", [State.QUEUED, *STEPS, State.LIVE, State.FAILED])
    def test_it_ends_from_any_state_without_a_failure(self, alice: User, state: State) -> None:
        deployment = make_deployment(alice, state=state)
        services.delete_deployment(deployment=deployment, by=alice)
        assert lifecycle.reconcile(deployment.pk) is True
        stopping = Deployment.objects.get()
        assert (stopping.state, stopping.reason) == (State.STOPPING, "")
        assert lifecycle.reconcile(deployment.pk) is True
        assert not Deployment.objects.exists()

    def test_what_a_killed_worker_left_half_copied_goes_too(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FETCHING)
        draft = settings.HOME.models / f"{deployment.pk}.new"
        draft.mkdir(parents=True)
        services.delete_deployment(deployment=deployment, by=alice)
        while lifecycle.reconcile(deployment.pk):
            pass
        assert not draft.exists()

    def test_an_endpoint_goes_with_the_last_of_its_deployments(self, alice: User) -> None:
        endpoint = make_endpoint(alice)
        pks = [make_deployment(alice, endpoint, name).pk for name in ("blue", "green")]
        services.delete_endpoint(endpoint=endpoint, by=alice)
        for pk in pks:
            assert Endpoint.objects.exists()
            while lifecycle.reconcile(pk):
                pass
        assert not Endpoint.objects.exists()

    def test_an_end_that_cannot_be_reached_is_tried_again_later_not_at_once(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deployment = make_deployment(alice, state=State.STOPPING, wanted=Wanted.GONE)

        def refuse(path: object, **given: object) -> None:
            raise PermissionError("not yours")

        with monkeypatch.context() as patch:
            patch.setattr("shutil.rmtree", refuse)
            assert lifecycle.reconcile(deployment.pk) is False
        assert list(Deployment.objects.unsettled()) == [deployment]
        assert lifecycle.reconcile(deployment.pk) is True
        assert not Deployment.objects.exists()


class TestTasks:
    @pytest.fixture(autouse=True)
    def an_empty_broker(self, stores: None) -> None:
        enqueued()

    def test_quick_steps_are_taken_in_a_row_as_far_as_it_gets(self, alice: User) -> None:
        deployment = deploy(alice, servable())
        tasks.reconcile(deployment.pk)
        assert Deployment.objects.get().state == State.STARTING
        assert enqueued() == []

    def test_after_a_long_one_others_get_their_turn_before_the_next(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deployment = deploy(alice, servable())
        monkeypatch.setattr(tasks, "_SPELL", 0.0)
        tasks.reconcile(deployment.pk)
        assert Deployment.objects.get().state == State.RESOLVING
        assert enqueued() == [deployment.pk]

    def test_nothing_to_do_asks_for_nothing(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FAILED)
        tasks.reconcile(deployment.pk)
        assert enqueued() == []

    def test_the_sweep_takes_up_what_nobody_works_on(self, alice: User) -> None:
        endpoint = make_endpoint(alice)
        soon, ago = now() + timedelta(minutes=1), now() - timedelta(seconds=1)
        queued = make_deployment(alice, endpoint, "queued")
        make_deployment(alice, endpoint, "busy", lease_holder="another", lease_until=soon)
        lost = make_deployment(alice, endpoint, "lost", lease_holder="dead", lease_until=ago)
        make_deployment(alice, endpoint, "failed", state=State.FAILED)
        tasks.sweep()
        assert sorted(enqueued()) == [queued.pk, lost.pk]


def test_a_step_that_is_cancelled_is_looked_at_again_and_ends(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted in the middle of a long step: the step stops, and the next call takes it to its end."""
    deployment = deploy(alice, servable())
    for _ in (State.RESOLVING, State.FETCHING):
        lifecycle.reconcile(deployment.pk)

    def cancelled(work: Work) -> Done:
        services.delete_deployment(deployment=deployment, by=alice)
        work.lost.set()
        return fetch(work)

    fetch: Callable[[Work], Done] = steps.fetch
    monkeypatch.setattr(steps, "fetch", cancelled)
    assert lifecycle.reconcile(deployment.pk) is True
    assert not (settings.HOME.models / f"{deployment.pk}.new").exists()
    while lifecycle.reconcile(deployment.pk):
        pass
    assert not Deployment.objects.exists()
