"""The doors to accounts' rows, and the rule by which every door opens."""

from __future__ import annotations

from typing import TypeVar

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models import QuerySet

from studio.accounts.models import AccessToken, User
from studio.accounts.permissions import ANY, GovernedQuerySet, Level, studio_level
from studio.lib.errors import Forbidden, NotFound

_Row = TypeVar("_Row", bound=models.Model)


def signed_in(user: User | AnonymousUser) -> User:
    assert isinstance(user, User)  # SignInRequired lets nobody else through
    return user


def reach(
    rows: GovernedQuerySet[_Row], user: User | AnonymousUser, needs: Level, missing: str
) -> _Row:
    """The one row, with the user's `level` on it.

    Raises NotFound(missing) where there is none or the user may not see it: nobody learns which. Raises
    Forbidden where the user sees it and may not do what needs this level.
    """
    try:
        row = rows.with_level(signed_in(user)).get()
    except (ObjectDoesNotExist, OverflowError):
        raise NotFound(missing) from None
    level = Level(row.level)  # type: ignore[attr-defined]  # annotated by with_level
    if level < Level.READ:
        raise NotFound(missing)
    if level < needs:
        raise Forbidden(
            f"This needs {needs.name} on {row}, and you have {level.name}. "
            "Somebody who has MANAGE on it can give you more."
        )
    return row


def may_create(user: User, resource_type: str) -> bool:
    """Whether the user may make resources of this type of Studio's: administrators, and who has EDIT on all."""
    if user.is_administrator:
        return True
    asked = User.objects.filter(pk=user.pk).annotate(own=studio_level(user, resource_type, ANY))
    return asked.filter(own__gte=Level.EDIT).exists()


def tokens_of(user: User) -> QuerySet[AccessToken]:
    return AccessToken.objects.filter(user=user, revoked_at=None)


def token_for(user: User, pk: int) -> AccessToken:
    """Return the user's own token, or NotFound."""
    try:
        return tokens_of(user).get(pk=pk)
    except AccessToken.DoesNotExist:
        raise NotFound(f"You have no token with the id {pk}.") from None
