"""REST framework's view of who is asking: the middleware has already found out."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from studio.accounts.models import User


class StudioAuthentication(BaseAuthentication):
    """Token, name and password, or session. Forged session requests are refused by SignInRequired."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        user = getattr(request._request, "user", None)
        return (user, None) if isinstance(user, User) else None

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="Studio"'
