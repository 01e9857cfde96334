"""What people do with accounts."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, Q
from django.urls import reverse
from django.utils.timezone import now

from studio.accounts import limiter
from studio.accounts.models import (
    AccessToken,
    AuditEvent,
    Grant,
    PasswordLink,
    Permission,
    User,
)
from studio.lib.errors import Conflict, Invalid, NotFound
from studio.lib.notify import ROUTES, notify
from studio.lib.secrets import digest

# Who did it, where nobody has signed in. No user has this name: it has spaces.
_COMMAND_LINE = "the command line"
LINK_ENDED = (
    "This link is not valid any more: it was used, replaced by a newer one, or is older than one hour. "
    "Ask an administrator for a new one."
)


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


@transaction.atomic
def create_user(
    *, username: str, password: str = "", is_administrator: bool = False, by: User
) -> User:
    """Make a user. Without a password nobody signs in as this user until a password link was used.

    Raises Invalid for a name or a password that breaks the rules, Conflict for a name that is taken.
    """
    username = User.normalize_username(username)
    check_username(username)
    if password:
        check_password_rules(password, User(username=username))
    try:
        with transaction.atomic():
            user = User.objects.create_user(
                username,
                password=password or None,
                is_superuser=is_administrator,
                is_staff=is_administrator,
            )
    except IntegrityError:
        raise Conflict(f"There is a user named {username!r} already.") from None
    told = f"{username}: administrator" if is_administrator else username
    record(actor=by, action="user.create", target=told)
    return user


@transaction.atomic
def set_active(*, user: User, is_active: bool, by: User) -> User:
    """Let the user in, or shut the user out: the next request of every session and token is refused.

    Raises Conflict for the last active administrator.
    """
    held = _held(user) if is_active else _held_with_another_administrator(user)
    if held.is_active != is_active:
        held.is_active = is_active
        held.save(update_fields=["is_active"])
        action = "user.enable" if is_active else "user.disable"
        record(actor=by, action=action, target=held.username)
    return held


@transaction.atomic
def set_administrator(*, user: User, is_administrator: bool, by: User) -> User:
    """Make the user an administrator, or none. Raises Conflict for the last active administrator."""
    held = _held(user) if is_administrator else _held_with_another_administrator(user)
    if (held.is_superuser, held.is_staff) != (is_administrator, is_administrator):
        held.is_superuser = held.is_staff = is_administrator
        held.save(update_fields=["is_superuser", "is_staff"])
        action = "user.make_administrator" if is_administrator else "user.unmake_administrator"
        record(actor=by, action=action, target=held.username)
    return held


@transaction.atomic
def set_password(*, user: User, password: str, by: User) -> User:
    """Set a password in place of the user's, which ends the user's sessions and any password link. Raises Invalid."""
    held = _held(user)
    check_password_rules(password, held)
    held.set_password(password)
    held.save(update_fields=["password"])
    PasswordLink.objects.filter(user=held).delete()
    record(actor=by, action="user.set_password", target=held.username)
    return held


@transaction.atomic
def delete_user(*, user: User, by: User) -> None:
    """Delete the user, with tokens and grants. Raises Conflict for the last active administrator, and for
    whoever made something that stays, an endpoint say."""
    held = _held_with_another_administrator(user)
    try:
        held.delete()
    except ProtectedError as refused:
        made = sorted({str(row) for row in refused.protected_objects})
        more = f" and {len(made) - 3} more" if len(made) > 3 else ""
        raise Conflict(
            f"{held.username} made {', '.join(made[:3])}{more}, which stay and say who made them. "
            f"Disable {held.username} instead: a disabled user cannot sign in, and no token of theirs works."
        ) from None
    record(actor=by, action="user.delete", target=held.username)


class MadeLink(NamedTuple):
    url: str
    expires_at: datetime


@transaction.atomic
def make_password_link(*, user: User, by: User | None) -> MadeLink:
    """Return a link with which whoever holds it sets the user's password, once, within an hour.

    It is told this once. The user's link before it ends. `by` is None on the command line. Raises Conflict
    for a disabled user.
    """
    held = _held(user)
    if not held.is_active:
        raise Conflict(f"{held.username} is disabled: enable {held.username} first.")
    secret = secrets.token_urlsafe(32)
    expires_at = now() + PasswordLink.LASTS
    PasswordLink.objects.update_or_create(
        user=held, defaults={"digest": digest(secret), "expires_at": expires_at}
    )
    record(actor=by, action="user.password_link", target=held.username)
    url = f"{settings.PUBLIC_URL}{reverse('accounts:set-password')}?link={secret}"
    return MadeLink(url, expires_at)


def owner_of_link(secret: str) -> User:
    """Return whose password the link sets. Raises NotFound, with the same words for every link that is not valid."""
    links = PasswordLink.objects.filter(expires_at__gt=now(), user__is_active=True)
    link = links.select_related("user").filter(digest=digest(secret)).first()
    if link is None:
        raise NotFound(LINK_ENDED)
    return link.user


@transaction.atomic
def use_password_link(*, secret: str, password: str) -> User:
    """Set the password of the link's user, which ends the link and the user's sessions. Raises NotFound and Invalid."""
    user = _held(owner_of_link(secret))
    # Somebody may have used or replaced it while the row was waited for.
    if not PasswordLink.objects.filter(user=user, digest=digest(secret)).exists():
        raise NotFound(LINK_ENDED)
    return set_password(user=user, password=password, by=user)


@transaction.atomic
def clear_lockouts(*, user: User, by: User) -> None:
    """Let the user try passwords again from every address that was locked out."""
    limiter.forget(user.username)
    record(actor=by, action="user.clear_lockouts", target=user.username)


def check_password_rules(password: str, user: User) -> None:
    """Raises Invalid, saying which of AUTH_PASSWORD_VALIDATORS the password breaks."""
    try:
        validate_password(password, user)
    except ValidationError as broken:
        raise Invalid(" ".join(broken.messages)) from None


def check_username(username: str) -> None:
    """Raises Invalid. A name must also do as a part of an address, and be as a form would send it."""
    try:
        User._meta.get_field("username").clean(username, None)
    except ValidationError as broken:
        raise Invalid(" ".join(broken.messages)) from None
    if username in (".", ".."):
        raise Invalid(f"{username!r} cannot be a user name: it means a folder in an address.")
    if username != User.normalize_username(username):
        raise Invalid(f"{username!r} cannot be a user name: it is another way to write one.")


def _held(user: User) -> User:
    """The user's row as it is now, held until the transaction ends. Raises NotFound when it is gone."""
    held = User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
    if held is None:
        raise NotFound(f"The user {user.username!r} has been deleted.")
    return held


def _held_with_another_administrator(user: User) -> User:
    """The user's row, held together with those of all active administrators, in order.

    Two who end each other's rights wait for one another here, and the second finds who is left. Raises
    Conflict when the user is the last active administrator.
    """
    administrators = Q(is_superuser=True, is_active=True)
    rows = User.objects.select_for_update(no_key=True).filter(Q(pk=user.pk) | administrators)
    held = {row.pk: row for row in rows.order_by("pk")}
    found = held.get(user.pk)
    if found is None:
        raise NotFound(f"The user {user.username!r} has been deleted.")
    if [row.pk for row in held.values() if row.is_administrator] == [found.pk]:
        raise Conflict(
            f"{found.username} is the last active administrator: make somebody else one first."
        )
    return found


def record(*, actor: User | None, action: str, target: str) -> None:
    """Keep who did what to which thing. No actor: it was done on the command line."""
    name = actor.username if actor else _COMMAND_LINE
    AuditEvent.objects.create(actor=name, action=action, target=target[:300])


@transaction.atomic
def ensure_first_administrator(*, username: str, password: str) -> bool:
    """Make the first administrator if nobody is one yet who can get in. True: it was made, or given the password.

    Raises Conflict where the name is that of a user who is none: who holds it must not become one by a setting.
    """
    administrators = list(User.objects.filter(is_superuser=True, is_active=True))
    if any(one.has_usable_password() or one.tokens.usable().exists() for one in administrators):
        return False
    named = User.objects.filter(username=username).first()
    if named is None:
        User.objects.create_superuser(username, password=password)
        return True
    if named not in administrators:
        raise Conflict(
            f"There is no administrator yet, and {username!r} is a user who is none: set STUDIO_ADMIN_USERNAME "
            "to another name."
        )
    named.set_password(password)
    named.save()
    return True
