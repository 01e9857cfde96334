"""Who may score by the statement that the gateway reads is who has USE by Studio's own rule."""

from __future__ import annotations

import itertools

import pytest
from django.db import connection

from endpoints.gateway.routes import SQL, Table, authorised, table_from
from endpoints.models import ENDPOINT, Endpoint
from studio.accounts import services
from studio.accounts.models import AccessToken, Grant, Permission, User
from studio.accounts.permissions import ANY, Level
from studio.lib.secrets import digest
from tests.support.serving import make_endpoint

pytestmark = pytest.mark.django_db
CHOICES = [*Permission, None]


def table() -> Table:
    with connection.cursor() as cursor:
        cursor.execute(SQL)
        [text] = cursor.fetchone()
    return table_from(text)


def grant(user: User, resource_id: object, permission: Permission | None) -> None:
    if permission is not None:
        Grant.objects.create(
            user=user,
            resource_type=ENDPOINT,
            resource_id=str(resource_id),
            permission=permission,
        )


@pytest.fixture
def iris(alice: User) -> Endpoint:
    """Of an administrator, who was granted MANAGE by making it."""
    return make_endpoint(alice, "iris")


@pytest.fixture
def token(bob: User) -> str:
    return services.issue_token(user=bob, label="test", by=bob)[1]


def test_every_pair_of_grants_is_folded_as_by_the_pages(alice: User, iris: Endpoint) -> None:
    others = make_endpoint(alice, "others")
    users = []
    for number, (one, every) in enumerate(itertools.product(CHOICES, repeat=2)):
        user = User.objects.create_user(f"user-{number}")
        grant(user, iris.pk, one)
        grant(user, ANY, every)
        users.append(user)
    Grant.objects.create(
        user=users[-1], resource_type="job", resource_id=str(iris.pk), permission=Permission.MANAGE
    )
    told = table().routes
    for endpoint in (iris, others):
        expected = {user.pk for user in users if _level(user, endpoint) >= Level.USE}
        assert told[endpoint.name].users == expected | {alice.pk}  # who made it
        assert 0 < len(expected) < len(users)
    assert told["iris"].users != told["others"].users


def _level(user: User, endpoint: Endpoint) -> Level:
    found = Endpoint.objects.with_level(user).get(pk=endpoint.pk)
    return Level(found.level)


def test_a_user_with_a_grant_scores_until_it_is_taken(
    alice: User, bob: User, iris: Endpoint, token: str
) -> None:
    of = {"resource_type": ENDPOINT, "resource_id": str(iris.pk)}
    assert not authorised(table(), "iris", token)
    services.give(user=bob, **of, permission=Permission.USE, by=alice)
    assert authorised(table(), "iris", token)
    services.give(user=bob, **of, permission=Permission.READ, by=alice)
    assert not authorised(table(), "iris", token)
    services.give(user=bob, **of, permission=Permission.MANAGE, by=alice)
    assert authorised(table(), "iris", token)
    services.take(user=bob, **of, by=alice)
    assert not authorised(table(), "iris", token)


def test_a_grant_is_worth_nothing_once_the_token_or_the_user_has_ended(
    bob: User, iris: Endpoint, token: str
) -> None:
    grant(bob, ANY, Permission.USE)
    assert authorised(table(), "iris", token)
    bob.is_active = False
    bob.save()
    assert not authorised(table(), "iris", token)
    bob.is_active = True
    bob.save()
    assert authorised(table(), "iris", token)
    services.revoke_token(token=AccessToken.objects.get(), by=bob)
    assert digest(token) not in table().tokens
    assert not authorised(table(), "iris", token)


def test_an_administrator_scores_until_no_longer_one_and_by_grants_from_then_on(
    iris: Endpoint, token: str, bob: User
) -> None:
    grant(bob, iris.pk, Permission.DENY)
    bob.is_superuser = True
    bob.save()
    assert authorised(table(), "iris", token)
    bob.is_superuser = False
    bob.save()
    assert not authorised(table(), "iris", token)


def test_use_on_all_endpoints_tells_nothing_of_those_that_are_not_there(
    bob: User, iris: Endpoint, token: str
) -> None:
    grant(bob, ANY, Permission.USE)
    assert authorised(table(), "iris", token)
    assert not authorised(table(), "nothing-here", token)
