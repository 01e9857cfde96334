"""The engine of one machine keeps the contract, and speaks to its agent through rows."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.utils.timezone import now

from endpoints import logs
from endpoints.engines import Engine, engine
from endpoints.engines.local import LocalEngine
from endpoints.models import Attempt, Deployment, Replica, ReplicaState
from studio.accounts.models import User
from studio.lib.notify import REPLICAS, ROUTES
from tests.endpoints.engines.engine_contract import EngineContract
from tests.support.serving import last_attempt, make_deployment


class TestLocalEngine(EngineContract):
    """Its agent is played by writing the rows that it writes."""

    @pytest.fixture
    def engine(self) -> Engine:
        return LocalEngine()

    def start_up(self, attempt: Attempt) -> None:
        self.write(attempt, started_at=now(), pid=4711)

    def get_ready(self, attempt: Attempt) -> None:
        self.write(attempt, state=ReplicaState.READY, address="/run/replica.sock")

    def end(self, attempt: Attempt, reason: str, said: str) -> None:
        logs.write(logs.of_replica(Replica.objects.filter(attempt=attempt).latest("pk")), said)
        self.write(attempt, state=ReplicaState.GONE, reason=reason, pid=None)

    def write(self, attempt: Attempt, **fields: Any) -> None:
        newest = Replica.objects.filter(attempt=attempt).latest("pk")
        Replica.objects.filter(pk=newest.pk).update(**fields)


def test_it_is_the_engine_that_deployments_run_on() -> None:
    assert isinstance(engine(), LocalEngine)


def test_what_was_rolled_back_was_not_asked_for(alice: User) -> None:
    deployment: Deployment = make_deployment(alice)
    with pytest.raises(RuntimeError), transaction.atomic():
        engine().start(last_attempt(deployment))
        raise RuntimeError
    assert engine().present(deployment) == 0


@pytest.mark.django_db(transaction=True)
def test_the_agent_and_the_gateway_are_woken(alice: User) -> None:
    deployment = make_deployment(alice)
    given = connection.get_connection_params()
    names = ("host", "user", "password", "dbname")
    with psycopg.connect(**{name: given[name] for name in names}, autocommit=True) as listener:

        def told() -> set[str]:
            return {notification.channel for notification in listener.notifies(timeout=0.3)}

        listener.execute(f"LISTEN {REPLICAS}")
        listener.execute(f"LISTEN {ROUTES}")
        engine().start(last_attempt(deployment))
        assert told() == {REPLICAS}
        engine().trim(deployment, 0)
        assert told() == {REPLICAS, ROUTES}
        engine().stop(deployment)
        assert told() == {REPLICAS, ROUTES}
