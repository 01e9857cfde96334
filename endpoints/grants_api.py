"""/api/v1/endpoints/{name}/grants: who was given what on an endpoint, by who has MANAGE on it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from endpoints import access
from endpoints.models import ENDPOINT, Endpoint
from studio.accounts.access import signed_in
from studio.accounts.models import Grant, Permission, User
from studio.accounts.permissions import Level
from studio.accounts.services import give, take
from studio.lib.api import PAGE_PARAMETER, ErrorOutput, listed, page
from studio.lib.errors import NotFound


class GrantOutput(serializers.Serializer[Grant]):
    username = serializers.CharField(source="user.username")
    permission = serializers.ChoiceField(Permission.choices)


class Grants(APIView):
    @extend_schema(
        operation_id="endpoints_grants_list",
        description="What was given on this endpoint. A user may also have something on all endpoints, "
        "and administrators may do everything: neither is in this list.",
        responses={
            200: listed("GrantList", GrantOutput), 400: ErrorOutput, 403: ErrorOutput, 404: ErrorOutput,
        },
        parameters=[PAGE_PARAMETER],
    )  # fmt: skip
    def get(self, request: Request, name: str) -> Response:
        endpoint = access.endpoint_for(request.user, name, Level.MANAGE)
        grants = _grants(endpoint).select_related("user").order_by("user__username")
        return page(request, grants, GrantOutput)


class GrantView(APIView):
    @extend_schema_serializer(component_name="GrantChange")
    class Input(serializers.Serializer[Any]):
        permission = serializers.ChoiceField(Permission.choices)

    @extend_schema(
        description="Give the user this permission, in place of what was given before. EDIT is the right to "
        "deploy models, which is to run their code on this machine.",
        request=Input,
        responses={200: GrantOutput, 400: ErrorOutput, 403: ErrorOutput, 404: ErrorOutput},
    )
    def put(self, request: Request, name: str, username: str) -> Response:
        endpoint = access.endpoint_for(request.user, name, Level.MANAGE)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        user = User.objects.filter(username=username).first()
        if user is None:
            raise NotFound(f"There is no user named {username!r}.")
        permission = Permission(data.validated_data["permission"])
        give(user=user, **_on(endpoint), permission=permission, by=signed_in(request.user))
        return Response(GrantOutput(Grant(user=user, permission=permission)).data)

    @extend_schema(responses={204: None, 403: ErrorOutput, 404: ErrorOutput})
    def delete(self, request: Request, name: str, username: str) -> Response:
        endpoint = access.endpoint_for(request.user, name, Level.MANAGE)
        grant = _grants(endpoint).select_related("user").filter(user__username=username).first()
        if grant is None:
            raise NotFound(f"{username!r} was given nothing on the endpoint {name!r}.")
        take(user=grant.user, **_on(endpoint), by=signed_in(request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _on(endpoint: Endpoint) -> dict[str, str]:
    return {"resource_type": ENDPOINT, "resource_id": str(endpoint.pk)}


def _grants(endpoint: Endpoint) -> QuerySet[Grant]:
    return Grant.objects.filter(**_on(endpoint))


_GRANTS = "endpoints/<str:name>/grants"
urlpatterns = [
    path(_GRANTS, Grants.as_view(), name="grants"),
    path(f"{_GRANTS}/<str:username>", GrantView.as_view(), name="grant"),
]
