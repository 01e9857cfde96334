"""MLflow's routes for users write Studio's users, in MLflow's words: an AuthServiceClient works unchanged.

MLflow's own rows are projections of them, so MLflow must never be asked to write one by itself.
"""

from __future__ import annotations

import re

from django.contrib.auth import authenticate
from django.http import HttpResponse, HttpResponseBase, JsonResponse

from studio.accounts import services
from studio.accounts.models import MlflowUser, User
from studio.lib.errors import Conflict, Forbidden, Invalid
from studio.mlflow import guards
from studio.mlflow.guards import Call, Table
from studio.mlflow.services import MlflowRefused

_NO_SIGN_UP = (
    "Nobody signs up by themselves here: an administrator of Studio makes users, on its page of "
    "users or through MLflow's users/create."
)


def register(table: Table) -> None:
    for route in ("/signup", "mlflow/users/create-ui"):
        table.add(guards.ANY, route, before=guards.closed(_NO_SIGN_UP))
    table.add("POST", "mlflow/users/create", before=create)
    table.add("PATCH", "mlflow/users/update-password", before=update_password)
    table.add("PATCH", "mlflow/users/update-admin", before=update_admin)
    table.add("DELETE", "mlflow/users/delete", before=delete)


def create(call: Call) -> HttpResponseBase:
    _administrator(call)
    if not call.is_json:
        return _plain("Invalid content type. Must be application/json")
    username, password = call.parameter("username"), call.parameter("password")
    if not username or not password:
        return _plain("Username and password cannot be empty.")
    try:
        user = services.create_user(
            username=_text(username), password=_text(password), by=call.user
        )
    except Conflict as taken:
        told = f"User (username={username}) already exists."
        raise MlflowRefused(told, 400, "RESOURCE_ALREADY_EXISTS") from taken
    return JsonResponse({"user": _told(user)})


def update_password(call: Call) -> HttpResponseBase:
    """An administrator sets anybody's; everybody their own, and proves first that they know the one before."""
    username = call.parameter("username")
    if username != call.user.username:
        _administrator(call)
    password = call.parameter("password")
    user = _named(username)
    if user == call.user:
        _knows_own_password(call, password)
    services.set_password(user=user, password=_text(password), by=call.user)
    return JsonResponse({})


def update_admin(call: Call) -> HttpResponseBase:
    _administrator(call)
    username, is_admin = call.parameter("username"), call.parameter("is_admin")
    if not isinstance(is_admin, bool):
        raise Invalid(f"Parameter 'is_admin' must be true or false. Got: {is_admin!r}")
    services.set_administrator(user=_named(username), is_administrator=is_admin, by=call.user)
    return JsonResponse({})


def delete(call: Call) -> HttpResponseBase:
    _administrator(call)
    username = call.parameter("username")
    if username == call.user.username:
        told = (
            "Users cannot delete their own account. Ask another admin to delete this user instead."
        )
        raise MlflowRefused(told, 400, "BAD_REQUEST")
    services.delete_user(user=_named(username), by=call.user)
    return JsonResponse({})


def _administrator(call: Call) -> None:
    if not call.user.is_administrator:
        raise Forbidden("Only an administrator of Studio may do this to users.")


def _knows_own_password(call: Call, password: object) -> None:
    """MLflow's rule: a session or a token that was stolen must not be enough. Raises Invalid, TooManyAttempts."""
    current = call.parameters.get("current_password")
    if not current:
        raise Invalid("Current password is required when changing your own password.")
    # As a sign-in: whoever guesses must wait.
    known = authenticate(call.request, username=call.user.username, password=_text(current))
    if known != call.user:
        raise Invalid("Current password does not match.")
    if password == current:
        raise Invalid("New password must differ from the current password.")


def _named(username: object) -> User:
    text = username if isinstance(username, str) and username.isprintable() else ""
    try:
        return User.objects.get(username=text)
    except User.DoesNotExist:
        told = f"User with username={username} not found"
        raise MlflowRefused(told, 404, "RESOURCE_DOES_NOT_EXIST") from None


def _text(value: object) -> str:
    """The name or password that was sent. Raises Invalid for what is no text, half a surrogate pair too."""
    if not isinstance(value, str) or re.search(r"[\ud800-\udfff]", value):
        raise Invalid("A user name and a password are text.")
    return value


def _told(user: User) -> dict[str, object]:
    row = MlflowUser.objects.get(username=user.username)
    return {"id": row.id, "username": user.username, "is_admin": user.is_administrator}


def _plain(told: str) -> HttpResponse:
    return HttpResponse(told, status=400)  # as MLflow: its only errors that are no JSON
