"""/api/v1/users: for administrators. To everybody else it is not there."""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from django.db import transaction
from django.urls import path, reverse
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from studio.accounts import services
from studio.accounts.access import signed_in
from studio.accounts.guards import once
from studio.accounts.models import User
from studio.accounts.user_access import AdministratorView, user_for, user_list
from studio.lib.api import PAGE_PARAMETER, ErrorOutput, Text, TrueOrFalse, listed, page

# As the model and the services say, in one expression for the schema.
_valid_name = RegexValidator(
    r"\A(?!\.{1,2}\Z)[\w.@+-]+\Z",
    "Enter a valid username: letters, digits and @ . + - _ only. A dot or two alone means a folder.",
)


class UserOutput(serializers.Serializer[User]):
    username = serializers.CharField()
    is_active = serializers.BooleanField(help_text="Whether this user is let in at all.")
    is_administrator = serializers.BooleanField(
        source="is_superuser", help_text="Whether this user is an administrator while active."
    )
    created_at = serializers.DateTimeField(source="date_joined")
    last_sign_in_at = serializers.DateTimeField(source="last_login", allow_null=True)


class Users(AdministratorView):
    @extend_schema_serializer(component_name="UserCreate")
    class Input(serializers.Serializer[Any]):
        username = Text(max_length=150, rule=_valid_name)
        password = Text(
            required=False,
            max_length=1000,
            help_text="Without one, nobody signs in as this user until a password link was used.",
        )
        is_administrator = TrueOrFalse(default=False)

    @extend_schema(
        operation_id="users_list",
        responses={200: listed("UserList", UserOutput), 404: ErrorOutput},
        parameters=[PAGE_PARAMETER],
    )
    def get(self, request: Request) -> Response:
        return page(request, user_list(""), UserOutput)

    @once
    @extend_schema(
        request=Input,
        responses={
            201: UserOutput, 400: ErrorOutput, 404: ErrorOutput, 409: ErrorOutput, 422: ErrorOutput,
        },
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        made = services.create_user(**data.validated_data, by=signed_in(request.user))
        location = reverse("api:user", args=[made.username])
        headers = {"Location": location}
        return Response(UserOutput(made).data, status=status.HTTP_201_CREATED, headers=headers)


class UserView(AdministratorView):
    @extend_schema_serializer(component_name="UserChange")
    class Input(serializers.Serializer[Any]):
        is_active = TrueOrFalse(required=False)
        is_administrator = TrueOrFalse(required=False)

    @extend_schema(responses={200: UserOutput, 404: ErrorOutput})
    def get(self, request: Request, username: str) -> Response:
        return Response(UserOutput(user_for(username)).data)

    @extend_schema(
        request=Input,
        responses={200: UserOutput, 400: ErrorOutput, 404: ErrorOutput, 409: ErrorOutput},
    )
    def patch(self, request: Request, username: str) -> Response:
        user, by = user_for(username), signed_in(request.user)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        given = data.validated_data
        with transaction.atomic():  # both or neither
            if "is_active" in given:
                user = services.set_active(user=user, is_active=given["is_active"], by=by)
            if "is_administrator" in given:
                user = services.set_administrator(
                    user=user, is_administrator=given["is_administrator"], by=by
                )
        return Response(UserOutput(user).data)

    @extend_schema(responses={204: None, 404: ErrorOutput, 409: ErrorOutput})
    def delete(self, request: Request, username: str) -> Response:
        services.delete_user(user=user_for(username), by=signed_in(request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordLinkOutput(serializers.Serializer[Any]):
    url = serializers.CharField(
        help_text="Whoever opens it sets the user's password, once. It is not told again."
    )
    expires_at = serializers.DateTimeField()


class UserPasswordLink(AdministratorView):
    @once
    @extend_schema(
        request=None,
        responses={
            201: PasswordLinkOutput, 404: ErrorOutput, 409: ErrorOutput, 422: ErrorOutput,
        },
    )  # fmt: skip
    def post(self, request: Request, username: str) -> Response:
        made = services.make_password_link(user=user_for(username), by=signed_in(request.user))
        headers = {"Cache-Control": "no-store"}
        body = PasswordLinkOutput(made._asdict()).data
        return Response(body, status=status.HTTP_201_CREATED, headers=headers)


urlpatterns = [
    path("users", Users.as_view(), name="users"),
    path("users/<str:username>", UserView.as_view(), name="user"),
    path("users/<str:username>/password-link", UserPasswordLink.as_view(), name="password-link"),
]
