"""Turns an Authorization header into a user: a token as bearer, or a name with a password or a token."""

from __future__ import annotations

import base64
import hmac
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.backends import ModelBackend
from django.core.cache import cache
from django.db.models import Exists, OuterRef
from django.http import HttpRequest

from studio.accounts import limiter
from studio.accounts.models import AccessToken, User
from studio.lib.secrets import derive, digest

# A password costs its hash 50 ms or more: a right one is remembered this long (seconds).
_PASSWORD_REMEMBERED = 60


class Passwords(ModelBackend):
    """Every way in by a password: the pages' form, Django's administration, Basic authentication.

    Who is unknown, disabled or wrong is answered alike and costs one hash. Raises TooManyAttempts.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        if username is None or password is None:
            return None
        address = limiter.address_of(request)
        return limiter.guess(username, address, lambda: self._prove(username, password))

    def _prove(self, username: str, password: str) -> User | None:
        user = User.objects.filter(username=username, is_active=True).first()
        if user is not None and cache.get(_remembered(user, password)):
            return user
        user = super().authenticate(None, username=username, password=password)
        if user is not None:
            cache.set(_remembered(user, password), 1, _PASSWORD_REMEMBERED)
        return user


def user_from_header(header: str, request: HttpRequest | None = None) -> User | None:
    """Return the user that the header proves, or None: unknown scheme, bad encoding, wrong or revoked.

    Raises TooManyAttempts for a user name and the request's address that are locked out.
    """
    if found := token_in(header):
        text, username = found
        user = user_from_token(text)
        return user if user is not None and username in (None, user.username) else None
    scheme, given = _parts(header)
    pair = _pair(given) if scheme == "basic" else None
    return _user_from_password(*pair, request) if pair else None


def token_in(header: str) -> tuple[str, str | None] | None:
    """The token's text, and the user name that came with it, if one did. None: the header holds no token."""
    scheme, given = _parts(header)
    if scheme == "bearer":
        return (given, None) if given.startswith(AccessToken.PREFIX) else None
    pair = _pair(given) if scheme == "basic" else None
    return (pair[1], pair[0]) if pair and pair[1].startswith(AccessToken.PREFIX) else None


def user_from_token(text: str) -> User | None:
    token = AccessToken.objects.usable().select_related("user").filter(digest=digest(text)).first()
    if token is None:
        return None
    token.note_use()
    return token.user


def _parts(header: str) -> tuple[str, str]:
    scheme, _, given = header.partition(" ")
    return scheme.lower(), given.strip()


def _pair(given: str) -> tuple[str, str] | None:
    """User name and password of Basic authentication."""
    try:
        username, separator, password = (
            base64.b64decode(given, validate=True).decode().partition(":")
        )
    except ValueError:  # no base64, no UTF-8, or not even ASCII
        return None
    return (username, password) if separator and "\0" not in username + password else None


def _user_from_password(username: str, password: str, request: HttpRequest | None) -> User | None:
    """Check the password, at the cost of its hash only once a minute, and of one statement until then."""
    here = limiter.locked(OuterRef("username")).filter(address=limiter.address_of(request))
    known = User.objects.filter(username=username, is_active=True).annotate(locked=Exists(here))
    user = known.first()
    if user is not None and not user.locked and cache.get(_remembered(user, password)):
        return user
    proved = authenticate(request, username=username, password=password)
    return proved if isinstance(proved, User) else None


def _remembered(user: User, password: str) -> str:
    """The cache's key of a right password. The stored hash is part of it: a changed password counts at once."""
    key = derive(settings.SECRET_KEY, "password cache")
    message = "\0".join((str(user.pk), user.password, password))
    return f"password:{hmac.new(key, message.encode(), 'sha256').hexdigest()}"
