"""What people do with endpoints: the rows that it leaves, who is told, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import connection

from endpoints import services
from endpoints.models import Deployment, Endpoint, State, Wanted
from endpoints.tasks import reconcile
from registry.models import ModelVersion
from studio.accounts.models import AuditEvent, User
from studio.accounts.permissions import WORKSPACE
from studio.lib.errors import Conflict, NotFound, StateConflict
from studio.lib.notify import ROUTES
from studio.lib.secrets import decrypt, digest
from tests.support.serving import enqueued, make_deployment, make_endpoint

Commits = Callable[..., AbstractContextManager[list[Callable[[], Any]]]]


@pytest.fixture(autouse=True)
def an_empty_broker(stores: None) -> None:
    enqueued()


@pytest.fixture
def version() -> ModelVersion:
    return ModelVersion(workspace=WORKSPACE, name="churn", version=3)


def audit() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("pk").values_list("actor", "action", "target"))


class TestKeys:
    def test_an_endpoint_has_two_that_are_sealed_in_the_database(self, alice: User) -> None:
        endpoint = make_endpoint(alice, "iris")
        keys = services.reveal_keys(endpoint=endpoint, by=alice)
        assert len({*keys.values()}) == 2
        assert all(len(key) >= 40 for key in keys.values())
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_jsonb(e)::text FROM endpoints_endpoint e")
            (row,) = cursor.fetchone()
        assert not any(key in row for key in keys.values())

    def test_only_with_studios_secret_can_they_be_opened(self, alice: User) -> None:
        endpoint = make_endpoint(alice)
        assert decrypt(settings.SECRET_KEY, endpoint.primary_key)
        with pytest.raises(InvalidToken):
            decrypt("another secret", endpoint.primary_key)

    def test_the_digests_are_what_a_caller_proves(self, alice: User) -> None:
        endpoint = make_endpoint(alice)
        keys = services.reveal_keys(endpoint=endpoint, by=alice)
        assert endpoint.primary_digest == digest(keys["primary"])
        assert endpoint.secondary_digest == digest(keys["secondary"])

    def test_who_has_seen_them_is_on_record(self, alice: User) -> None:
        endpoint = make_endpoint(alice, "iris")
        assert audit() == []
        services.reveal_keys(endpoint=endpoint, by=alice)
        assert audit() == [("alice", "endpoint.keys.reveal", "iris")]

    @pytest.mark.parametrize(
        ("which", "other"), [("primary", "secondary"), ("secondary", "primary")]
    )
    def test_one_is_replaced_and_the_other_goes_on(
        self, alice: User, which: services.KeyName, other: services.KeyName
    ) -> None:
        endpoint = make_endpoint(alice, "iris")
        old = services.reveal_keys(endpoint=endpoint, by=alice)
        services.regenerate_key(endpoint=endpoint, which=which, by=alice)
        row = Endpoint.objects.get(pk=endpoint.pk)
        new = services.reveal_keys(endpoint=row, by=alice)
        assert new[which] != old[which]
        assert new[other] == old[other]
        assert digest(old[which]) not in (row.primary_digest, row.secondary_digest)
        assert getattr(row, f"{which}_digest") == digest(new[which])
        assert ("alice", f"endpoint.keys.regenerate.{which}", "iris") in audit()


class TestDeploy:
    def test_it_queues_the_first_attempt_and_wakes_a_worker_once_committed(
        self, alice: User, version: ModelVersion, django_capture_on_commit_callbacks: Commits
    ) -> None:
        endpoint = make_endpoint(alice)
        with django_capture_on_commit_callbacks() as callbacks:
            made = services.deploy(endpoint=endpoint, version=version, name="blue", by=alice)
        assert enqueued() == []
        for callback in callbacks:
            callback()
        assert enqueued() == [made.pk]
        row = Deployment.objects.get()
        assert (row.state, row.wanted, row.traffic) == (State.QUEUED, Wanted.LIVE, 0)
        assert row.model_uri == "models:/churn/3"
        assert row.created_by == alice
        assert [attempt.number for attempt in row.attempts.all()] == [1]

    def test_a_name_that_is_taken_behind_the_endpoint_is_refused(
        self, alice: User, version: ModelVersion
    ) -> None:
        endpoint = make_endpoint(alice, "iris")
        make_deployment(alice, endpoint, "blue")
        with pytest.raises(Conflict, match="already has a deployment named 'blue'"):
            services.deploy(endpoint=endpoint, version=version, name="blue", by=alice)
        services.deploy(endpoint=make_endpoint(alice), version=version, name="blue", by=alice)

    def test_an_endpoint_that_is_being_deleted_takes_no_more(
        self, alice: User, version: ModelVersion
    ) -> None:
        endpoint = make_endpoint(alice, "iris")
        make_deployment(alice, endpoint, "blue")
        old = Endpoint.objects.get(pk=endpoint.pk)
        services.delete_endpoint(endpoint=endpoint, by=alice)
        with pytest.raises(Conflict, match="being deleted"):
            services.deploy(endpoint=old, version=version, name="green", by=alice)

    def test_an_endpoint_that_is_gone_is_told_so(self, alice: User, version: ModelVersion) -> None:
        endpoint = make_endpoint(alice, "iris")
        Endpoint.objects.all().delete()
        with pytest.raises(NotFound, match="no longer an endpoint named 'iris'"):
            services.deploy(endpoint=endpoint, version=version, name="blue", by=alice)

    def test_a_new_name_makes_the_endpoint(self, alice: User, version: ModelVersion) -> None:
        services.deploy_to_new(name="iris", version=version, deployment="blue", by=alice)
        assert str(Deployment.objects.get()) == "iris/blue"
        assert Endpoint.objects.get().created_by == alice

    def test_what_is_refused_leaves_no_new_endpoint(self, alice: User) -> None:
        nameless = ModelVersion(workspace=WORKSPACE, name="x" * 300, version=1)
        with pytest.raises(Exception, match="too long"):
            services.deploy_to_new(name="iris", version=nameless, deployment="blue", by=alice)
        assert not Endpoint.objects.exists()


class TestRetry:
    def test_it_is_a_new_attempt(
        self, alice: User, django_capture_on_commit_callbacks: Commits
    ) -> None:
        deployment = make_deployment(alice, state=State.FAILED, reason="no", detail="trace")
        with django_capture_on_commit_callbacks(execute=True):
            attempt = services.retry(deployment=deployment)
        assert attempt.number == 2
        row = Deployment.objects.get()
        assert (row.state, row.reason, row.detail) == (State.QUEUED, "", "")
        assert enqueued() == [row.pk]

    @pytest.mark.parametrize("state", [state for state in State if state != State.FAILED])
    def test_what_has_not_failed_is_not_tried_again(self, alice: User, state: State) -> None:
        deployment = make_deployment(alice, state=state)
        with pytest.raises(Conflict, match="only a failed one is tried again"):
            services.retry(deployment=deployment)
        assert deployment.attempts.count() == 1

    def test_what_is_being_deleted_is_not_tried_again(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FAILED, wanted=Wanted.GONE)
        with pytest.raises(Conflict):
            services.retry(deployment=deployment)

    def test_two_clicks_make_one_attempt(self, alice: User) -> None:
        deployment = make_deployment(alice, state=State.FAILED)
        old = Deployment.objects.get()
        services.retry(deployment=deployment)
        with pytest.raises(StateConflict):
            services.retry(deployment=old)
        assert deployment.attempts.count() == 2


class TestDelete:
    def test_a_deployment_loses_its_traffic_at_once_and_a_worker_ends_it(
        self, alice: User, django_capture_on_commit_callbacks: Commits
    ) -> None:
        endpoint = make_endpoint(alice, "iris")
        deployment = make_deployment(alice, endpoint, state=State.LIVE, traffic=100)
        with django_capture_on_commit_callbacks(execute=True):
            services.delete_deployment(deployment=deployment, by=alice)
        row = Deployment.objects.get()
        assert (row.wanted, row.traffic, row.changes) == (Wanted.GONE, 0, 1)
        assert enqueued() == [row.pk]
        assert audit() == [("alice", "deployment.delete", "iris/blue")]

    def test_an_endpoint_without_deployments_goes_at_once(self, alice: User) -> None:
        endpoint = make_endpoint(alice, "iris")
        services.delete_endpoint(endpoint=endpoint, by=alice)
        assert not Endpoint.objects.exists()
        assert audit() == [("alice", "endpoint.delete", "iris")]

    def test_an_endpoint_waits_for_its_deployments(
        self, alice: User, django_capture_on_commit_callbacks: Commits
    ) -> None:
        endpoint = make_endpoint(alice, "iris")
        made = [make_deployment(alice, endpoint, name) for name in ("blue", "green")]
        with django_capture_on_commit_callbacks(execute=True):
            services.delete_endpoint(endpoint=endpoint, by=alice)
        assert Endpoint.objects.get().wanted == Wanted.GONE
        assert {row.wanted for row in Deployment.objects.all()} == {Wanted.GONE}
        assert enqueued() == [row.pk for row in made]
        assert audit() == [
            ("alice", "deployment.delete", "iris/blue"),
            ("alice", "deployment.delete", "iris/green"),
            ("alice", "endpoint.delete", "iris"),
        ]


def test_a_broker_that_is_down_loses_nobodys_work(
    alice: User,
    version: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Commits,
) -> None:
    endpoint = make_endpoint(alice)
    monkeypatch.setattr(reconcile.app.conf, "broker_write_url", "redis://127.0.0.1:1")
    monkeypatch.setattr(reconcile.app.amqp, "_producer_pool", None)
    with django_capture_on_commit_callbacks(execute=True):
        made = services.deploy(endpoint=endpoint, version=version, name="blue", by=alice)
    assert list(Deployment.objects.unsettled()) == [made]


def test_a_broker_that_is_down_is_not_waited_for() -> None:
    """Nor by the agent, which tells of its children in between looking after them."""
    assert reconcile.app.conf.broker_transport_options.get("max_retries") == 0


@pytest.fixture
def listener(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory", None)
    parameters.pop("context", None)
    with psycopg.connect(
        **{name: parameters[name] for name in ("host", "user", "password", "dbname")},
        autocommit=True,
    ) as found:
        found.execute(f"LISTEN {ROUTES}")
        yield found


@pytest.mark.django_db(transaction=True)
def test_the_gateway_is_told_of_what_changes_for_callers(
    listener: psycopg.Connection[Any], alice: User, version: ModelVersion
) -> None:
    def told() -> int:
        return len(list(listener.notifies(timeout=0.2)))

    endpoint = services.create_endpoint(name="iris", description="", by=alice)
    assert told()
    services.regenerate_key(endpoint=endpoint, which="primary", by=alice)
    assert told()
    deployment = services.deploy(endpoint=endpoint, version=version, name="blue", by=alice)
    assert not told()
    services.delete_deployment(deployment=deployment, by=alice)
    assert told()
    services.delete_endpoint(endpoint=endpoint, by=alice)
    assert told()
