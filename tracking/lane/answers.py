"""From a request to its answer: read it, do it, say it in MLflow's words. No Django in it, so that both ways in share it."""

from __future__ import annotations

import logging
from typing import NamedTuple

import psycopg
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    TEMPORARILY_UNAVAILABLE,
)

from studio.lib import request_ids, trouble
from tracking.lane import asking
from tracking.lane.asking import Asker, Denied, Stranger
from tracking.lane.messages import Body
from tracking.lane.routes import READERS, Route

__all__ = ["Answer", "Asker", "Body", "Stranger", "answer"]
log = logging.getLogger(__name__)

_JSON = "application/json"


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
    try:
        return Answer(200, _done(READERS[route], asker, body))
    except Denied:
        return _DENIED
    except MlflowException as refused:
        return refusal(refused)
    except psycopg.errors.DivisionByZero:  # wires.run has tried often enough
        words = (
            "Other clients keep storing the same, so this was not stored. Repeat it in a moment."
        )
        return refusal(MlflowException(words, TEMPORARILY_UNAVAILABLE))
    except (psycopg.DataError, psycopg.IntegrityError) as failure:
        words = f"This cannot be stored: {_plain(failure)}."
        return refusal(MlflowException(words, BAD_REQUEST))
    except psycopg.Error as failure:
        told = trouble.told(failure)
        if told is None:
            log.exception("lane=failed")
            return refusal(MlflowException("The database refused this.", INTERNAL_ERROR))
        log.warning("lane=refused failure=%s", type(failure).__name__)
        return refusal(MlflowException(told, TEMPORARILY_UNAVAILABLE))
    except Stranger:
        raise
    except Exception:
        log.exception("lane=broken route=%s", route)
        return refusal(MlflowException(_BROKEN.format(request_ids.current()), INTERNAL_ERROR))


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


def refusal(refused: MlflowException) -> Answer:
    return Answer(refused.get_http_status_code(), refused.serialize_as_json().encode())


def _plain(failure: psycopg.Error) -> str:
    """What is wrong, without SQL and without the values that came with it."""
    return (failure.diag.message_primary or str(failure)).rstrip(".")
