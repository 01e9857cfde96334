"""/api/v1/tokens: one's own personal access tokens."""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from django.urls import include, path
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from studio.accounts import access, services
from studio.accounts.guards import once
from studio.accounts.models import AccessToken, User
from studio.lib.api import PAGE_PARAMETER, ErrorOutput, Text, listed, page

_seen = RegexValidator(r"\A[^\x00]*[^\s\x00][^\x00]*\Z", "Write something that can be seen.")


class TokenOutput(serializers.Serializer[AccessToken]):
    id = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]  # the field's name, not the field's label
    hint = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)


class IssuedTokenOutput(TokenOutput):
    token = serializers.CharField(help_text="The token itself. It is not told again.")


class Tokens(APIView):
    @extend_schema_serializer(component_name="TokenCreate")
    class Input(serializers.Serializer[Any]):
        label = Text(max_length=100, rule=_seen)  # type: ignore[assignment]

    @extend_schema(responses={200: listed("TokenList", TokenOutput)}, parameters=[PAGE_PARAMETER])
    def get(self, request: Request) -> Response:
        return page(request, access.tokens_of(_signed_in(request)), TokenOutput)

    @once
    @extend_schema(
        request=Input,
        responses={201: IssuedTokenOutput, 400: ErrorOutput, 409: ErrorOutput, 422: ErrorOutput},
    )
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        user = _signed_in(request)
        token, text = services.issue_token(user=user, label=data.validated_data["label"], by=user)
        return Response({**TokenOutput(token).data, "token": text}, status=status.HTTP_201_CREATED)


class Token(APIView):
    @extend_schema(responses={204: None, 404: ErrorOutput})
    def delete(self, request: Request, pk: int) -> Response:
        user = _signed_in(request)
        services.revoke_token(token=access.token_for(user, pk), by=user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _signed_in(request: Request) -> User:
    assert isinstance(request.user, User)  # IsAuthenticated
    return request.user


urlpatterns = [
    path("tokens", Tokens.as_view(), name="tokens"),
    path("tokens/<int:pk>", Token.as_view(), name="token"),
    path("", include("studio.accounts.user_api")),
]
