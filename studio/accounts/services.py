"""What people do with accounts."""

from __future__ import annotations

from django.db import transaction
from django.utils.timezone import now

from studio.accounts.models import AccessToken, AuditEvent, User


@transaction.atomic
def issue_token(*, user: User, label: str, by: User) -> tuple[AccessToken, str]:
    """Return a new token's row and its text. The text is told this once."""
    token, text = AccessToken.issue(user=user, label=label)
    record(actor=by, action="token.issue", target=f"{user.username}: {label}")
    return token, text


@transaction.atomic
def revoke_token(*, token: AccessToken, by: User) -> None:
    """End the token: the next request with it is refused."""
    AccessToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now())
    record(actor=by, action="token.revoke", target=f"{token.user.username}: {token.label}")


def record(*, actor: User, action: str, target: str) -> None:
    AuditEvent.objects.create(actor=actor.username, action=action, target=target[:300])


def ensure_first_administrator(*, username: str, password: str) -> bool:
    """Make the first administrator if nobody is one yet. True: it was made."""
    with transaction.atomic():
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return False
        User.objects.create_superuser(username, password=password)
        return True
