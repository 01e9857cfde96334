"""The doors to endpoints and deployments. A stranger learns nothing of their existence."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from endpoints.models import Deployment, Endpoint
from studio.accounts.access import admit
from studio.accounts.models import User
from studio.lib.errors import NotFound


def endpoints_for(user: User | AnonymousUser) -> QuerySet[Endpoint]:
    return Endpoint.objects.visible_to(admit(user))


def endpoint_for(user: User | AnonymousUser, name: str) -> Endpoint:
    """Return the endpoint, or NotFound."""
    try:
        return Endpoint.objects.visible_to(user).get(name=name)
    except Endpoint.DoesNotExist:
        raise NotFound(f"There is no endpoint named {name!r}.") from None


def deployment_for(user: User | AnonymousUser, endpoint: str, name: str) -> Deployment:
    """Return the deployment, or NotFound."""
    found = Deployment.objects.visible_to(user).select_related("endpoint")
    try:
        return found.get(endpoint__name=endpoint, name=name)
    except Deployment.DoesNotExist:
        raise NotFound(f"The endpoint {endpoint!r} has no deployment named {name!r}.") from None


def deployments_for(user: User | AnonymousUser) -> QuerySet[Deployment]:
    return Deployment.objects.visible_to(admit(user)).select_related("endpoint")
