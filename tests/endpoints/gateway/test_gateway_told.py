"""The gateway is told of what changes for users, by whichever way it is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from studio.accounts.models import User
from studio.lib.notify import ROUTES

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a long enough password"


@pytest.fixture
def listener(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    parameters = connection.get_connection_params()
    own = {name: parameters[name] for name in ("host", "user", "password", "dbname")}
    with psycopg.connect(**own, autocommit=True) as found:
        found.execute(f"LISTEN {ROUTES}")
        yield found


def test_of_users_that_are_saved_and_deleted_and_not_of_sign_ins(
    listener: psycopg.Connection[Any],
) -> None:
    def told() -> int:
        return len(list(listener.notifies(timeout=0.2)))

    administrator = User.objects.create_superuser("root", password=PASSWORD)
    assert told()
    bob = User.objects.create_user("bob", password=PASSWORD)
    assert told()
    bob.is_superuser = True
    bob.save(update_fields=["is_superuser"])
    assert told()
    bob.is_active = False
    bob.save()
    assert told()
    client = Client()
    assert client.login(username="root", password=PASSWORD)
    assert not told()
    assert User.objects.get(username="root").last_login is not None
    bob.delete()
    assert told()
    assert list(User.objects.all()) == [administrator]
