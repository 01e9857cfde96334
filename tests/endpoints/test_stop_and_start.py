"""What people ask of a deployment that is there: scale, stop, start, restart. The rows it leaves, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from endpoints import services
from endpoints.models import (
    STEPS,
    Deployment,
    Endpoint,
    Replica,
    ReplicaState,
    State,
    Wanted,
)
from registry.models import ModelVersion
from studio.accounts.models import AuditEvent, User
from studio.accounts.permissions import WORKSPACE
from studio.lib.errors import Conflict, Invalid, NotFound
from tests.support.serving import enqueued, make_deployment, make_replica

Commits = Callable[..., AbstractContextManager[list[Callable[[], Any]]]]
ON_THE_WAY = [State.QUEUED, *STEPS]


class Asked(Protocol):
    def __call__(self, *, deployment: Deployment, by: User) -> Deployment: ...


@pytest.fixture(autouse=True)
def an_empty_broker(stores: None) -> None:
    enqueued()


def audit() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("pk").values_list("actor", "action", "target"))


@pytest.mark.parametrize(
    ("asked", "state", "wanted", "after"),
    [
        (services.stop_deployment, State.LIVE, Wanted.LIVE, Wanted.STOPPED),
        (services.start_deployment, State.STOPPED, Wanted.STOPPED, Wanted.LIVE),
        (services.restart_deployment, State.LIVE, Wanted.LIVE, Wanted.LIVE),
    ],
)
def test_it_is_on_record_the_page_is_told_and_a_worker_woken(
    alice: User,
    iris: Endpoint,
    django_capture_on_commit_callbacks: Commits,
    asked: Asked,
    state: State,
    wanted: Wanted,
    after: Wanted,
) -> None:
    deployment = make_deployment(alice, iris, state=state, wanted=wanted, traffic=100)
    with django_capture_on_commit_callbacks(execute=True):
        told = asked(deployment=deployment, by=alice)
    row = Deployment.objects.get()
    assert told == row
    assert (row.wanted, row.traffic) == (after, 100)
    assert row.changes > deployment.changes
    assert enqueued() == [row.pk]
    verb = asked.__name__.removesuffix("_deployment")  # type: ignore[attr-defined]
    assert audit() == [("alice", f"deployment.{verb}", "iris/blue")]


@pytest.mark.parametrize(
    "asked",
    [services.stop_deployment, services.start_deployment, services.restart_deployment]
    + [services.scale],
)
class TestWhatGoes:
    def test_what_is_being_deleted_is_left_to_it(self, alice: User, asked: Asked) -> None:
        deployment = make_deployment(alice, state=State.LIVE)
        Deployment.objects.update(wanted=Wanted.GONE)  # since it was read
        with pytest.raises(Conflict, match="is being deleted"):
            asked(deployment=deployment, by=alice)
        assert audit() == []

    def test_what_is_gone_is_told_so(self, alice: User, asked: Asked) -> None:
        deployment = make_deployment(alice)
        Deployment.objects.filter(pk=deployment.pk).delete()
        with pytest.raises(NotFound, match="no longer a deployment named 'blue'"):
            asked(deployment=deployment, by=alice)


class TestStop:
    @pytest.mark.parametrize("state", [*ON_THE_WAY, State.LIVE])
    def test_whatever_runs_or_is_on_its_way_can_be_stopped(self, alice: User, state: State) -> None:
        deployment = make_deployment(alice, state=state)
        services.stop_deployment(deployment=deployment, by=alice)
        row = Deployment.objects.get()
        assert (row.wanted, row.state) == (Wanted.STOPPED, state)

    @pytest.mark.parametrize(
        ("state", "told"),
        [
            (State.STOPPED, "is stopped already"),
            (State.STOPPING, "is being stopped already"),
            (State.LIVE, "is being stopped already"),
        ],
    )
    def test_not_twice(self, alice: User, state: State, told: str) -> None:
        deployment = make_deployment(alice, state=state, wanted=Wanted.STOPPED)
        with pytest.raises(Conflict, match=told):
            services.stop_deployment(deployment=deployment, by=alice)
        assert audit() == []

    def test_of_a_failed_one_nothing_runs_and_its_reason_is_kept(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FAILED, reason="no")
        with pytest.raises(Conflict, match=r"has failed, and nothing of it runs: try it again"):
            services.stop_deployment(deployment=deployment, by=alice)
        assert Deployment.objects.get().reason == "no"


class TestStart:
    def test_a_stopped_one_is_queued_as_a_new_attempt(self, alice: User) -> None:
        deployment = make_deployment(
            alice, state=State.STOPPED, wanted=Wanted.STOPPED, traffic=40, replicas_wanted=3
        )
        told = services.start_deployment(deployment=deployment, by=alice)
        row = Deployment.objects.get()
        assert (row.state, row.wanted, row.traffic, row.replicas_wanted) == (
            State.QUEUED,
            Wanted.LIVE,
            40,
            3,
        )
        assert told.state == State.QUEUED
        assert [attempt.number for attempt in row.attempts.all()] == [2, 1]

    @pytest.mark.parametrize("state", [State.STOPPING, State.LIVE, State.BUILDING])
    def test_one_that_is_being_stopped_is_only_wanted_again(
        self, alice: User, state: State
    ) -> None:
        deployment = make_deployment(alice, state=state, wanted=Wanted.STOPPED)
        services.start_deployment(deployment=deployment, by=alice)
        row = Deployment.objects.get()
        assert (row.state, row.wanted, row.attempts.count()) == (state, Wanted.LIVE, 1)

    @pytest.mark.parametrize("state", [State.LIVE, State.BUILDING, State.FAILED])
    def test_what_is_not_stopped_is_not_started(self, alice: User, state: State) -> None:
        deployment = make_deployment(alice, state=state)
        with pytest.raises(Conflict, match="only a stopped one is started"):
            services.start_deployment(deployment=deployment, by=alice)

    def test_two_clicks_make_one_attempt(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.STOPPED, wanted=Wanted.STOPPED)
        services.start_deployment(deployment=deployment, by=alice)
        with pytest.raises(Conflict, match="is queued: only a stopped one"):
            services.start_deployment(deployment=deployment, by=alice)
        assert deployment.attempts.count() == 2


class TestRestart:
    def test_those_that_answer_go_on_as_outdated_and_the_others_end(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.LIVE, replicas_wanted=2)
        make_replica(deployment)
        make_replica(deployment, ReplicaState.UNREADY)
        services.restart_deployment(deployment=deployment, by=alice)
        rows = Replica.objects.values_list("state", "wanted", "outdated")
        assert list(rows) == [("ready", True, True), ("unready", False, True)]
        assert Deployment.objects.get().state == State.LIVE

    @pytest.mark.parametrize(
        ("state", "wanted"),
        [(state, Wanted.LIVE) for state in (*ON_THE_WAY, State.FAILED)]
        + [(State.STOPPED, Wanted.STOPPED), (State.LIVE, Wanted.STOPPED)],
    )
    def test_only_what_is_live(self, alice: User, state: State, wanted: Wanted) -> None:
        deployment = make_deployment(alice, state=state, wanted=wanted)
        replica = make_replica(deployment)
        with pytest.raises(Conflict, match="only a live one is restarted"):
            services.restart_deployment(deployment=deployment, by=alice)
        replica.refresh_from_db()
        assert not replica.outdated


class TestScale:
    @pytest.mark.parametrize("state", [State.QUEUED, State.LIVE, State.FAILED, State.STOPPED])
    def test_what_is_given_changes_and_the_rest_stays(
        self,
        alice: User,
        iris: Endpoint,
        django_capture_on_commit_callbacks: Commits,
        state: State,
    ) -> None:
        deployment = make_deployment(alice, iris, state=state)
        with django_capture_on_commit_callbacks(execute=True):
            services.scale(deployment=deployment, by=alice, replicas=3)
        row = Deployment.objects.get()
        assert (row.replicas_wanted, row.memory_mb, row.state) == (3, 2048, state)
        assert row.changes == deployment.changes + 1
        assert enqueued() == [row.pk]
        services.scale(deployment=deployment, by=alice, memory_mb=512)
        row = Deployment.objects.get()
        assert (row.replicas_wanted, row.memory_mb) == (3, 512)
        assert audit() == [
            ("alice", "deployment.scale", "iris/blue: 3 × 2048 MB"),
            ("alice", "deployment.scale", "iris/blue: 3 × 512 MB"),
        ]

    def test_what_is_so_already_is_no_change(
        self, alice: User, django_capture_on_commit_callbacks: Commits
    ) -> None:
        deployment = make_deployment(alice, state=State.LIVE)
        with django_capture_on_commit_callbacks(execute=True):
            services.scale(deployment=deployment, by=alice, replicas=1, memory_mb=2048)
        assert Deployment.objects.get().changes == deployment.changes
        assert (enqueued(), audit()) == ([], [])

    @pytest.mark.parametrize(
        ("size", "told"),
        [
            ({"replicas": 0}, "1 to 8 replicas, not 0"),
            ({"replicas": 9}, "1 to 8 replicas, not 9"),
            ({"memory_mb": 63}, "64 to 1048576 MB of memory, not 63"),
            ({"memory_mb": 1_048_577}, "MB of memory, not 1048577"),
        ],
    )
    def test_too_much_or_too_little_is_refused(
        self, alice: User, iris: Endpoint, size: dict[str, int], told: str
    ) -> None:
        deployment = make_deployment(alice, iris)
        with pytest.raises(Invalid, match=told):
            services.scale(deployment=deployment, by=alice, **size)
        version = ModelVersion(workspace=WORKSPACE, name="churn", version=1)
        with pytest.raises(Invalid, match=told):
            services.deploy(endpoint=iris, version=version, name="green", by=alice, **size)
        row = Deployment.objects.get()
        assert (row.replicas_wanted, row.memory_mb) == (1, 2048)


def test_a_deployment_is_made_as_large_as_asked(alice: User) -> None:
    version = ModelVersion(workspace=WORKSPACE, name="churn", version=1)
    services.deploy_to_new(
        name="iris", version=version, deployment="blue", by=alice, replicas=8, memory_mb=64
    )
    row = Deployment.objects.get()
    assert (row.replicas_wanted, row.memory_mb) == (8, 64)
