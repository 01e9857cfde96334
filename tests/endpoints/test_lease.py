"""Giving a lease back to a database that is away just then."""

from __future__ import annotations

import pytest
from django.db import InterfaceError, OperationalError

from endpoints import lease
from endpoints.models import Deployment, DeploymentQuerySet
from studio.accounts.models import User
from tests.support.serving import make_deployment

pytestmark = pytest.mark.django_db(transaction=True)


def away(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The database fails that often where leases are freed."""
    free = DeploymentQuerySet.free_lease
    failures = [OperationalError("gone"), InterfaceError("closed")] * times

    def broken(rows: DeploymentQuerySet, pk: int, holder: str) -> None:
        if failures:
            raise failures.pop()
        free(rows, pk, holder)

    monkeypatch.setattr(DeploymentQuerySet, "free_lease", broken)


def test_it_is_given_back_once_the_database_is_there_again(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = make_deployment(alice)
    with lease.lease(deployment.pk) as held:
        assert held is not None
        away(monkeypatch, 1)
    assert Deployment.objects.get().lease_holder == ""


def test_a_database_that_stays_away_is_not_waited_for(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "_RETURN", 0.1)
    deployment = make_deployment(alice)
    with lease.lease(deployment.pk) as held:
        assert held is not None
        away(monkeypatch, 1000)
    assert Deployment.objects.get().lease_holder == held.holder
    assert "not given back" in caplog.text
