"""How lists and errors look in /api/v1."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import exceptions, parsers, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from studio.lib.errors import Invalid, StudioError
from studio.lib.http import error_body

_PAGE = 100

PAGE_PARAMETER = OpenApiParameter(
    "page",
    {"type": "integer", "minimum": 1, "maximum": 999_999},
    description="Which page of 100, from 1; `next` holds the address of the next.",
)


def page(
    request: Request, rows: QuerySet[Any], output: type[serializers.Serializer[Any]]
) -> Response:
    """Answer `{"items": [...], "next": null}` with one page of rows."""
    asked = request.query_params.get("page", "1")
    if not re.fullmatch(r"[0-9]{1,6}", asked) or not int(asked):
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


class JSONParser(parsers.JSONParser):
    """The body of a request, as Django REST framework reads it; one that is nested too deeply is refused as well."""

    def parse(self, *given: Any, **more: Any) -> Any:
        try:
            return super().parse(*given, **more)
        except RecursionError:
            raise exceptions.ParseError("JSON parse error - it is nested too deeply") from None


class ErrorOutput(serializers.Serializer[Any]):
    """Every error of /api/v1."""

    class Error(serializers.Serializer[Any]):
        code = serializers.CharField()
        message = serializers.CharField()
        step = serializers.CharField(allow_blank=True)
        detail = serializers.CharField(allow_blank=True)

    error = Error()


# What any operation may answer, whatever it does; 415 where it reads a body.
_REFUSALS = {
    400: "The request breaks a rule: the message says which.",
    401: "Sign in: send a token as bearer, or a user name with a password or token.",
    415: "The body is not JSON.",
}
# A part of an address: to programs that make addresses a NUL is an end, and to routes a slash is one.
_PATH_PART = {"minLength": 1, "pattern": r"^[^/\u0000]+$"}
_TEXT = {"pattern": r"^[^\u0000]*$"}


class Text(serializers.CharField):
    """Text as it was sent: no number is made into text, and no space is cut off."""

    def __init__(self, rule: RegexValidator | None = None, **given: Any) -> None:
        if not given.get("allow_blank"):
            given.setdefault("min_length", 1)
        super().__init__(trim_whitespace=False, **given)
        self.validators += [rule] if rule else []

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TrueOrFalse(serializers.BooleanField):
    """No word or number is made into one of them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


def describe_rules(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: tell in the schema what goes for every operation."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, told in _REFUSALS.items():
                if status != 415 or "requestBody" in operation:
                    operation["responses"].setdefault(str(status), _refusal(told))
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["schema"]["type"] == "string":
                    parameter["schema"] |= _PATH_PART
            _describe_text(operation, result["components"]["schemas"])
    return result


def _describe_text(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """No text of a body may hold a NUL, whatever other rule it has."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        for name, value in body["properties"].items():
            if value.get("type") == "string":
                body["properties"][name] = _TEXT | value


def _refusal(told: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorOutput"}
    return {"description": told, "content": {"application/json": {"schema": schema}}}


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
