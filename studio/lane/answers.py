"""From a request to its answer: read it, do it, say it in MLflow's words. No Django in it, so that both ways in share it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import psycopg
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    TEMPORARILY_UNAVAILABLE,
)

from studio.lane import LANES, asking
from studio.lane.asked import Asked
from studio.lane.asking import Asker, Denied, Elsewhere, Stranger
from studio.lane.messages import Body
from studio.lane.routes import Route, Seek
from studio.lib import request_ids, trouble
from studio.lib.imports import load
from studio.lib.sql import TOO_LONG

__all__ = ["Answer", "Asked", "Asker", "Body", "Elsewhere", "Stranger", "answer", "look"]
log = logging.getLogger(__name__)

_JSON = "application/json"
# Of all apps, by their names in Lane.writing and Lane.reading.
READERS: dict[str, Route] = {}
SEEKERS: dict[str, Seek] = {}
for _lane in LANES:
    _tables = load(_lane.tables)
    READERS |= _tables.READERS
    SEEKERS |= _tables.SEEKERS


class Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str = _JSON


_BROKEN = (
    "Something went wrong inside Studio. The log of the web process has the details: "
    "quote this id to who looks after Studio: {}"
)
# As MLflow's server says it: no JSON.
_DENIED = Answer(403, b"Permission denied", "text/html; charset=utf-8")


def answer(route: str, asker: Asker, body: Body) -> Answer:
    """Do what is asked, and say so once it is stored for good. Raises Stranger: nobody was found to ask."""
    return _told(route, lambda: _done(READERS[route], asker, body))


def look(route: str, asker: Asker, asked: Asked) -> Answer:
    """What is asked for. Raises Stranger, and Elsewhere: MLflow's own server is to be asked."""
    return _told(route, lambda: _found(SEEKERS[route], asker, asked))


def _told(route: str, work: Callable[[], bytes]) -> Answer:
    try:
        return Answer(200, work())
    except Denied:
        return _DENIED
    except MlflowException as refused:
        return refusal(refused)
    except psycopg.Error as failure:
        return refusal(_in_words(failure))
    except (Stranger, Elsewhere):
        raise
    except Exception:
        log.exception("lane=broken route=%s", route)
        return refusal(MlflowException(_BROKEN.format(request_ids.current()), INTERNAL_ERROR))


def _in_words(failure: psycopg.Error) -> MlflowException:
    """What PostgreSQL says, without SQL and without the values that came with it."""
    if isinstance(failure, psycopg.errors.DivisionByZero):  # wires.run has tried often enough
        words = (
            "Other clients keep storing the same, so this was not stored. Repeat it in a moment."
        )
        return MlflowException(words, TEMPORARILY_UNAVAILABLE)
    if isinstance(failure, psycopg.errors.QueryCanceled):
        return MlflowException(TOO_LONG, BAD_REQUEST)
    if isinstance(failure, psycopg.DataError | psycopg.IntegrityError):
        return MlflowException(f"This cannot be stored: {_said(failure)}.", BAD_REQUEST)
    told = trouble.told(failure)
    if told is None:
        log.error("lane=failed", exc_info=failure)
        return MlflowException("The database refused this.", INTERNAL_ERROR)
    log.warning("lane=refused failure=%s", type(failure).__name__)
    return MlflowException(told, TEMPORARILY_UNAVAILABLE)


def _said(failure: psycopg.Error) -> str:
    return (failure.diag.message_primary or str(failure)).rstrip(".")


def _done(route: Route, asker: Asker, body: Body) -> bytes:
    try:
        work = route.read(body)
        if body.is_unusual:
            route.check(asker, body)
        done = work.write(asker)
    except psycopg.errors.DivisionByZero:
        raise
    except (MlflowException, psycopg.DataError, psycopg.IntegrityError):
        route.check(asker, body)
        raise
    asking.note_use(done.seen)
    return done.told


def _found(seek: Seek, asker: Asker, asked: Asked) -> bytes:
    try:
        done = seek(asked).answer(asker)
    except psycopg.DataError as failure:  # a number that no column can hold, a pattern that is none
        told = f"This cannot be looked up: {_said(failure)}."
        raise MlflowException(told, BAD_REQUEST) from None
    asking.note_use(done.seen)
    return done.told


def refusal(refused: MlflowException) -> Answer:
    return Answer(refused.get_http_status_code(), refused.serialize_as_json().encode())
