"""Several workers at one deployment, and several people at one endpoint: real threads on real connections."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import TypeVar

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now

from endpoints import environments, lease, lifecycle, logs, services
from endpoints.decide import Seen
from endpoints.models import (
    Attempt,
    AttemptStep,
    Deployment,
    Endpoint,
    Replica,
    ReplicaState,
    State,
)
from studio.accounts.models import User
from studio.lib.errors import Conflict
from tests.support.processes import until
from tests.support.serving import (
    bring_live,
    deploy,
    environment_of_servable,
    last_attempt,
    make_deployment,
    make_endpoint,
    play_engine,
    servable,
    settle,
)

pytestmark = pytest.mark.django_db(transaction=True)
_Result = TypeVar("_Result")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def apart(
    threads: ThreadPoolExecutor, work: Callable[[], _Result], start: Barrier | None = None
) -> Future[_Result]:
    """Do it in a thread with a connection of its own."""

    def run() -> _Result:
        try:
            if start is not None:
                start.wait(10)
            return work()
        finally:
            connection.close()

    return threads.submit(run)


@contextmanager
def environment_busy() -> Iterator[None]:
    """Another worker builds the environment that the deployment needs, as long as the block runs."""
    with environment_of_servable().with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def log_of(deployment: Deployment) -> str:
    return "\n".join(logs.read(logs.of_attempt(last_attempt(deployment))).lines)


def to_building(deployment: Deployment) -> None:
    while Deployment.objects.get(pk=deployment.pk).state != State.BUILDING:
        lifecycle.reconcile(deployment.pk)


@pytest.fixture
def building(alice: User, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment in its build step; all of its waits are short."""
    monkeypatch.setattr(lease, "_RENEWAL", 0.05)
    monkeypatch.setattr(environments, "_TICK", 0.05)
    deployment = deploy(alice, servable())
    to_building(deployment)
    return deployment


def in_the_middle(deployment: Deployment) -> None:
    until(lambda: "waiting for it" in log_of(deployment), "the build waits")


class TestTwoWorkers:
    def test_who_comes_second_does_nothing(
        self, building: Deployment, threads: ThreadPoolExecutor
    ) -> None:
        with environment_busy():
            first = apart(threads, lambda: lifecycle.reconcile(building.pk))
            in_the_middle(building)
            assert lifecycle.reconcile(building.pk) is False
        assert first.result(10) is True
        assert AttemptStep.objects.filter(name=State.STARTING).count() == 1

    def test_messages_delivered_twice_do_each_step_once(
        self, alice: User, threads: ThreadPoolExecutor
    ) -> None:
        deployment = deploy(alice, servable())
        start = Barrier(3)

        def insist() -> None:
            def asked_for_a_replica() -> bool:
                lifecycle.reconcile(deployment.pk)
                return Replica.objects.exists()

            until(asked_for_a_replica, "the last step", 30)
            for _ in range(20):  # and what is delivered late
                lifecycle.reconcile(deployment.pk)

        for future in [apart(threads, insist, start) for _ in range(3)]:
            future.result(60)
        names = list(AttemptStep.objects.values_list("name", flat=True))
        assert names == [State.RESOLVING, State.FETCHING, State.BUILDING, State.STARTING]
        assert Replica.objects.count() == 1
        assert log_of(deployment).count("resolving models:/") == 1

    def test_further_replicas_are_asked_for_once_each(
        self, alice: User, threads: ThreadPoolExecutor
    ) -> None:
        deployment = bring_live(deploy(alice, servable()))
        services.scale(deployment=deployment, by=alice, replicas=4)
        start = Barrier(3)

        def insist() -> None:
            for _ in range(20):
                lifecycle.reconcile(deployment.pk)

        for future in [apart(threads, insist, start) for _ in range(3)]:
            future.result(30)
        assert Replica.objects.count() == 4
        assert log_of(deployment).count("starting a further replica") == 3

    def test_news_that_came_while_another_was_looking_is_looked_at_once_more(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its message finds the lease taken: who has it must not go without having seen the news."""
        deployment = bring_live(deploy(alice, servable()))
        observe = lifecycle.observe

        def looking(row: Deployment, attempt: Attempt) -> Seen:
            seen = observe(row, attempt)
            services.scale(deployment=row, by=alice, replicas=2)  # no change the second time
            assert lifecycle.reconcile(row.pk) is False
            return seen

        monkeypatch.setattr(lifecycle, "observe", looking)
        assert lifecycle.reconcile(deployment.pk) is True
        assert Replica.objects.count() == 1
        assert lifecycle.reconcile(deployment.pk) is True
        assert Replica.objects.count() == 2
        assert lifecycle.reconcile(deployment.pk) is False

    def test_a_worker_that_died_is_replaced_once_its_lease_has_run_out(self, alice: User) -> None:
        deployment = make_deployment(alice)
        assert Deployment.objects.take_lease(deployment.pk, "dead", 60)
        assert lifecycle.reconcile(deployment.pk) is False
        Deployment.objects.update(lease_until=now() - timedelta(seconds=1))
        assert lifecycle.reconcile(deployment.pk) is True
        assert Deployment.objects.get().state == State.RESOLVING


class TestLongSteps:
    def test_a_lease_is_renewed_while_its_holder_works(
        self, building: Deployment, threads: ThreadPoolExecutor
    ) -> None:
        with environment_busy():
            apart(threads, lambda: lifecycle.reconcile(building.pk))
            in_the_middle(building)
            first = Deployment.objects.get().lease_until
            assert first is not None
            until(lambda: (Deployment.objects.get().lease_until or first) > first, "renewed")

    def test_who_lost_the_lease_stops_and_leaves_the_row_alone(
        self, building: Deployment, threads: ThreadPoolExecutor
    ) -> None:
        with environment_busy():
            loser = apart(threads, lambda: lifecycle.reconcile(building.pk))
            in_the_middle(building)
            until_then = now() + timedelta(minutes=1)
            Deployment.objects.update(lease_holder="another", lease_until=until_then)
            assert loser.result(10) is True
            row = Deployment.objects.get()
        assert (row.state, row.lease_holder) == (State.BUILDING, "another")

    def test_stopped_in_the_middle_of_a_build_it_comes_to_rest_and_can_be_started(
        self, alice: User, building: Deployment, threads: ThreadPoolExecutor
    ) -> None:
        with environment_busy():
            worker = apart(threads, lambda: settle_to_the_end(building))
            in_the_middle(building)
            services.stop_deployment(deployment=building, by=alice)
            worker.result(10)
            assert Deployment.objects.get().state == State.STOPPED
        assert not Replica.objects.exists()
        services.start_deployment(deployment=building, by=alice)
        assert bring_live(building).state == State.LIVE

    def test_stopped_and_started_in_the_middle_of_a_build_it_goes_on(
        self, alice: User, building: Deployment, threads: ThreadPoolExecutor
    ) -> None:
        with environment_busy():
            worker = apart(threads, lambda: settle_to_the_end(building))
            in_the_middle(building)
            services.stop_deployment(deployment=building, by=alice)
            services.start_deployment(deployment=building, by=alice)
        worker.result(10)
        assert bring_live(building).state == State.LIVE

    def test_deleted_in_the_middle_of_a_build_it_ends_soon_and_wholly(
        self, alice: User, building: Deployment, threads: ThreadPoolExecutor
    ) -> None:
        with environment_busy():
            worker = apart(threads, lambda: settle_to_the_end(building))
            in_the_middle(building)
            services.delete_deployment(deployment=building, by=alice)
            worker.result(10)
        assert not Deployment.objects.exists()
        assert not (settings.HOME.models / str(building.pk)).exists()


def settle_to_the_end(deployment: Deployment) -> None:
    while lifecycle.reconcile(deployment.pk):
        pass


@pytest.mark.parametrize("round_", range(5))
def test_two_that_get_live_at_once_share_no_traffic(
    alice: User, threads: ThreadPoolExecutor, round_: int
) -> None:
    endpoint, version, start = make_endpoint(alice), servable(), Barrier(2)
    made = []
    for name in ("blue", "green"):
        deployment = services.deploy(endpoint=endpoint, version=version, name=name, by=alice)
        settle(deployment)
        play_engine(deployment, state=ReplicaState.READY, started_at=now())
        while Deployment.objects.get(pk=deployment.pk).state != State.TRYING:
            lifecycle.reconcile(deployment.pk)
        made.append(deployment)
    goes = [apart(threads, partial(lifecycle.reconcile, row.pk), start) for row in made]
    assert [go.result(10) for go in goes] == [True, True]
    assert {row.state for row in Deployment.objects.all()} == {State.LIVE}
    assert sorted(row.traffic for row in Deployment.objects.all()) == [0, 100]


@pytest.mark.parametrize("round_", range(5))
def test_an_endpoint_goes_when_its_last_deployments_are_removed_at_once(
    alice: User, threads: ThreadPoolExecutor, round_: int
) -> None:
    endpoint, start = make_endpoint(alice), Barrier(3)
    made = [make_deployment(alice, endpoint, name) for name in ("red", "green", "blue")]
    services.delete_endpoint(endpoint=endpoint, by=alice)
    for row in made:
        assert lifecycle.reconcile(row.pk)
    goes = [apart(threads, partial(lifecycle.reconcile, row.pk), start) for row in made]
    assert all(go.result(10) for go in goes)
    assert not Deployment.objects.exists()
    assert not Endpoint.objects.exists()


def test_who_deploys_while_the_endpoint_is_being_deleted_is_told(
    alice: User, threads: ThreadPoolExecutor
) -> None:
    endpoint, version = make_endpoint(alice), servable()
    make_deployment(alice, endpoint)

    def waits_for_us() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    with transaction.atomic():
        services.delete_endpoint(endpoint=endpoint, by=alice)
        late = apart(
            threads,
            lambda: services.deploy(endpoint=endpoint, version=version, name="green", by=alice),
        )
        until(waits_for_us, "the second waits for the first")
    with pytest.raises(Conflict, match="being deleted"):
        late.result(10)
    assert Deployment.objects.count() == 1


def test_the_lease_names_who_holds_it(alice: User) -> None:
    deployment = make_deployment(alice)
    with lease.lease(deployment.pk) as held:
        assert held is not None
        assert Deployment.objects.get().lease_holder == held.holder
        with lease.lease(deployment.pk) as second:
            assert second is None
    assert Deployment.objects.get().lease_holder == ""
