"""Turns an Authorization header into a user: a token as bearer, or a name with a password or a token."""

from __future__ import annotations

import base64
import hmac

from django.conf import settings
from django.contrib.auth import authenticate
from django.core.cache import cache

from studio.accounts.models import AccessToken, User
from studio.lib.secrets import derive, digest

# A password costs its hash 50 ms or more: a right one is remembered this long (seconds).
_PASSWORD_REMEMBERED = 60


def user_from_header(header: str) -> User | None:
    """Return the user that the header proves, or None: unknown scheme, bad encoding, wrong or revoked."""
    scheme, _, given = header.partition(" ")
    given = given.strip()
    match scheme.lower():
        case "bearer":
            return user_from_token(given)
        case "basic":
            return _user_from_basic(given)
    return None


def user_from_token(text: str) -> User | None:
    if not text.startswith(AccessToken.PREFIX):
        return None
    token = AccessToken.objects.usable().select_related("user").filter(digest=digest(text)).first()
    if token is None:
        return None
    token.note_use()
    return token.user


def _user_from_basic(given: str) -> User | None:
    try:
        username, separator, password = (
            base64.b64decode(given, validate=True).decode().partition(":")
        )
    except ValueError:  # no base64, no UTF-8, or not even ASCII
        return None
    if not separator or "\0" in username + password:
        return None
    if password.startswith(AccessToken.PREFIX):
        user = user_from_token(password)
        return user if user is not None and user.username == username else None
    return _user_from_password(username, password)


def _user_from_password(username: str, password: str) -> User | None:
    """Check the password, at the cost of its hash only once a minute.

    The stored hash is part of what is remembered: a changed password counts at once.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is not None:
        key = derive(settings.SECRET_KEY, "password cache")
        message = "\0".join((str(user.pk), user.password, password))
        remembered = f"password:{hmac.new(key, message.encode(), 'sha256').hexdigest()}"
        if cache.get(remembered):
            return user
        if user.check_password(password):
            cache.set(remembered, 1, _PASSWORD_REMEMBERED)
            return user
        return None
    authenticate(username=username, password=password)  # takes as long as for a user who is there
    return None
