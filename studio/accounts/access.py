"""The doors to accounts' rows, and who is let in at all."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from studio.accounts.models import AccessToken, User
from studio.lib.errors import NotFound


def may_see_everything(user: User | AnonymousUser) -> bool:
    """Administrators see every row. Grants for other users are MLflow's, on MLflow's routes."""
    return isinstance(user, User) and user.is_administrator


def admit(user: User | AnonymousUser) -> User:
    """Return the user if pages and REST API are open to it; a stranger learns nothing of what is there."""
    if isinstance(user, User) and may_see_everything(user):
        return user
    raise NotFound("There is nothing here that is shared with you.")


def tokens_of(user: User) -> QuerySet[AccessToken]:
    return AccessToken.objects.filter(user=user, revoked_at=None)


def token_for(user: User, pk: int) -> AccessToken:
    """Return the user's own token, or NotFound."""
    try:
        return tokens_of(user).get(pk=pk)
    except AccessToken.DoesNotExist:
        raise NotFound(f"You have no token with the id {pk}.") from None
