"""What stands before a view of /api/v1: a POST that is sent again is answered again, not done again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from studio.accounts.models import IdempotentRequest, User
from studio.lib.errors import Conflict, IdempotencyKeyReused, Invalid
from studio.lib.secrets import decrypt, encrypt

_View = TypeVar("_View", bound=APIView)
_Path = ParamSpec("_Path")
_Post = Callable[Concatenate[_View, Request, _Path], Response]

_HEADER = "Idempotency-Key"
_KEY = re.compile(r"^[!-~]{1,255}$")
_PARAMETER = OpenApiParameter(
    _HEADER,
    {"type": "string", "pattern": _KEY.pattern},
    OpenApiParameter.HEADER,
    description="1 to 255 visible characters of your choice, a UUID for instance. The same request with the same "
    "key, sent again within 24 hours, is answered as the first time and does nothing. Errors are not kept.",
)


def once(post: _Post[_View, _Path]) -> _Post[_View, _Path]:
    """Have a view's `post` honour Idempotency-Key.

    The work and its answer are committed together, so that a process that dies leaves both or neither.
    """

    @extend_schema(parameters=[_PARAMETER])
    @wraps(post)
    def guarded(
        view: _View, request: Request, /, *args: _Path.args, **kwargs: _Path.kwargs
    ) -> Response:
        key = request.headers.get(_HEADER)
        if key is None:
            return post(view, request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise Invalid(f"{_HEADER}: write 1 to 255 visible ASCII characters, without spaces.")
        user = request.user
        assert isinstance(user, User)  # IsAuthenticated
        of: dict[str, Any] = {"user": user, "key": key, "path": request.path}
        digest = hashlib.sha256(request.body).hexdigest()
        with transaction.atomic():
            _only_one(f"{user.pk} {key} {request.path}")
            known = IdempotentRequest.objects.remembered().filter(**of).first()
            if known is not None:
                return _again(known, digest)
            answer = post(view, request, *args, **kwargs)
            IdempotentRequest.objects.forget_old()
            IdempotentRequest.objects.update_or_create(
                **of, defaults=_kept(answer) | {"digest": digest, "created_at": now()}
            )
        return answer

    return guarded


def _only_one(request: str) -> None:
    """Hold a lock on this request until the transaction ends. Raises Conflict when another has it."""
    name = hashlib.sha256(f"idempotent {request}".encode()).digest()[:8]
    with connection.cursor() as cursor:
        number = int.from_bytes(name, signed=True)
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        if cursor.fetchone() != (True,):
            raise Conflict(
                f"The first request with this {_HEADER} is still being answered: try again in a moment."
            )


def _kept(answer: Response) -> dict[str, object]:
    """What is stored of an answer. Sealed: it may hold a secret that is shown once."""
    body = JSONRenderer().render(answer.data).decode()
    return {
        "status": answer.status_code,
        "body": encrypt(settings.SECRET_KEY, body),
        "location": answer.headers.get("Location", ""),
    }


def _again(known: IdempotentRequest, digest: str) -> Response:
    if known.digest != digest:
        raise IdempotencyKeyReused(
            f"This {_HEADER} was sent before with another body: use a new key for a new request."
        )
    body = json.loads(decrypt(settings.SECRET_KEY, known.body))
    headers = {"Location": known.location} if known.location else {}
    return Response(body, known.status, headers=headers | {"Idempotent-Replayed": "true"})
