"""What people do with accounts."""

from __future__ import annotations

from django.db import transaction
from django.utils.timezone import now

from studio.accounts.models import AccessToken, AuditEvent, Grant, Permission, User
from studio.lib.notify import ROUTES, notify


@transaction.atomic
def issue_token(*, user: User, label: str, by: User) -> tuple[AccessToken, str]:
    """Return a new token's row and its text. The text is told this once."""
    token, text = AccessToken.issue(user=user, label=label)
    record(actor=by, action="token.issue", target=f"{user.username}: {label}")
    notify(ROUTES)
    return token, text


@transaction.atomic
def revoke_token(*, token: AccessToken, by: User) -> None:
    """End the token: the next request with it is refused."""
    AccessToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now())
    record(actor=by, action="token.revoke", target=f"{token.user.username}: {token.label}")
    notify(ROUTES)


@transaction.atomic
def give(
    *, user: User, resource_type: str, resource_id: str, permission: Permission, by: User
) -> None:
    """Grant a permission on a resource of Studio's own, in place of what the user had on it."""
    Grant.objects.update_or_create(
        user=user,
        resource_type=resource_type,
        resource_id=resource_id,
        defaults={"permission": permission},
    )
    target = f"{user.username}: {permission} on {resource_type} {resource_id}"
    record(actor=by, action="grant.give", target=target)
    notify(ROUTES)


@transaction.atomic
def take(*, user: User, resource_type: str, resource_id: str, by: User) -> None:
    """Remove what the user was granted on a resource of Studio's own. Without effect where there is nothing."""
    Grant.objects.filter(user=user, resource_type=resource_type, resource_id=resource_id).delete()
    target = f"{user.username}: {resource_type} {resource_id}"
    record(actor=by, action="grant.take", target=target)
    notify(ROUTES)


def record(*, actor: User, action: str, target: str) -> None:
    AuditEvent.objects.create(actor=actor.username, action=action, target=target[:300])


def ensure_first_administrator(*, username: str, password: str) -> bool:
    """Make the first administrator if nobody is one yet. True: it was made."""
    with transaction.atomic():
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return False
        User.objects.create_superuser(username, password=password)
        return True
