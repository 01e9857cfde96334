"""The doors to endpoints and deployments. A stranger learns nothing of their existence."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from endpoints.models import ENDPOINT, Deployment, Endpoint
from studio.accounts.access import may_create, reach, signed_in
from studio.accounts.models import User
from studio.accounts.permissions import Level
from studio.lib.errors import Forbidden, NotFound


def endpoints_for(user: User | AnonymousUser, needs: Level = Level.READ) -> QuerySet[Endpoint]:
    return Endpoint.objects.visible_to(user, needs)


def endpoint_for(user: User | AnonymousUser, name: str, needs: Level = Level.READ) -> Endpoint:
    """Return the endpoint. Raises NotFound, and Forbidden where the user's level is below `needs`."""
    found = Endpoint.objects.filter(name=name)
    return reach(found, user, needs, f"There is no endpoint named {name!r}.")


def deployment_for(
    user: User | AnonymousUser, endpoint: str, name: str, needs: Level = Level.READ
) -> Deployment:
    """Return the deployment. Raises NotFound, and Forbidden where the level on its endpoint is below `needs`."""
    endpoint_for(
        user, endpoint
    )  # who may not see it is told of the endpoint, as if there were none
    found = Deployment.objects.filter(endpoint__name=endpoint, name=name).select_related("endpoint")
    missing = f"The endpoint {endpoint!r} has no deployment named {name!r}."
    return reach(found, user, needs, missing)


def deployments_for(user: User | AnonymousUser) -> QuerySet[Deployment]:
    return Deployment.objects.visible_to(user).select_related("endpoint")


def creator(user: User | AnonymousUser) -> User:
    """Return the user, who may make endpoints. Raises Forbidden."""
    if may_create(signed_in(user), ENDPOINT):
        return signed_in(user)
    raise Forbidden(
        "You may not make endpoints. An administrator can give you EDIT on all endpoints, "
        "or somebody can give you EDIT on one that is there."
    )


def may_deploy(user: User) -> bool:
    """Whether there is an endpoint that the user may deploy to, or the user may make one."""
    return may_create(user, ENDPOINT) or endpoints_for(user, Level.EDIT).exists()


def target_for(user: User | AnonymousUser, name: str) -> Endpoint | None:
    """The endpoint of this name to deploy to; None: there is none, and the user may make it. Raises Forbidden."""
    try:
        return endpoint_for(user, name, Level.EDIT)
    except NotFound:
        creator(user)
        return None
