"""How lists and errors look in /api/v1."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from studio.lib.errors import Invalid, StudioError
from studio.lib.http import error_body

_PAGE = 100

PAGE_PARAMETER = OpenApiParameter(
    "page",
    int,
    description="Which page of 100, from 1; `next` holds the address of the next.",
)


def page(
    request: Request, rows: QuerySet[Any], output: type[serializers.Serializer[Any]]
) -> Response:
    """Answer `{"items": [...], "next": null}` with one page of rows."""
    asked = request.query_params.get("page", "1")
    if not asked.isdecimal() or len(asked) > 6 or not int(asked):
        raise Invalid(f"page={asked!r}: write a number from 1.")
    number = int(asked)
    found = list(rows[(number - 1) * _PAGE : number * _PAGE + 1])
    following = f"{request.path}?{urlencode({'page': number + 1})}" if len(found) > _PAGE else None
    return Response({"items": output(found[:_PAGE], many=True).data, "next": following})


def listed(name: str, output: type[serializers.Serializer[Any]]) -> Any:
    """The schema of such an answer."""
    return inline_serializer(
        name,
        {"items": output(many=True), "next": serializers.CharField(allow_null=True)},
    )


class ErrorOutput(serializers.Serializer[Any]):
    """Every error of /api/v1."""

    class Error(serializers.Serializer[Any]):
        code = serializers.CharField()
        message = serializers.CharField()
        step = serializers.CharField(allow_blank=True)
        detail = serializers.CharField(allow_blank=True)

    error = Error()


def api_error(failure: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's exception handler: every error of /api/v1 has one shape."""
    set_rollback()
    if isinstance(failure, StudioError):
        return Response(
            error_body(failure.code, failure.message, detail=failure.detail),
            status=failure.status,
        )
    if isinstance(failure, Http404):
        failure = exceptions.NotFound()
    elif isinstance(failure, PermissionDenied):
        failure = exceptions.PermissionDenied()
    if not isinstance(failure, exceptions.APIException):
        return None
    headers = (
        {"Allow": context["view"].allowed_methods}
        if isinstance(failure, exceptions.MethodNotAllowed)
        else {}
    )
    told = _sentences(failure.detail)
    code = "invalid" if isinstance(failure, exceptions.ValidationError) else failure.default_code
    answer = Response(error_body(code, told), status=failure.status_code)
    for name, value in headers.items():
        answer.headers[name] = ", ".join(value)
    return answer


def _sentences(detail: Any) -> str:
    """REST framework's nested error details as one line that names the fields."""
    if isinstance(detail, dict):
        return " ".join(f"{name}: {_sentences(value)}" for name, value in detail.items())
    if isinstance(detail, list):
        return " ".join(_sentences(item) for item in detail)
    return str(detail)
