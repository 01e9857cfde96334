"""Where Studio answers otherwise than MLflow on purpose: the only differences that the comparison lets through."""

from __future__ import annotations

import json
import re

from tests.differential.deviations import INVALID, tells_sql
from tests.differential.lanes import Answer
from tests.differential.reading.asks import BULK, INTERVAL, SEARCH_RUNS
from tests.differential.reading.comparing import Allowed, Pair

_WIDER = re.compile(r"\b(OR|NOT|IN)\b|\(", re.IGNORECASE)


def _crashed(pair: Pair, sign: bytes) -> bool:
    return pair.reference.status == 500 and sign in pair.reference.body and pair.is_native


def _is_hidden(pair: Pair) -> bool:
    told = (pair.fast.status, pair.fast.body) == (403, b"Permission denied")
    return told and pair.reference.status == 404 and pair.case.route.startswith((BULK, INTERVAL))


def _told(answer: Answer) -> tuple[str, str]:
    """The code and the message of a refusal."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return "", ""
    return str(body.get("error_code", "")), str(body.get("message", ""))


def _is_wider(pair: Pair) -> bool:
    """MLflow refuses the filter, in which there is what only Studio's language has; Studio has found something."""
    refused = pair.reference.status == 400 and _told(pair.reference)[0] == INVALID
    return (
        refused and pair.is_native and _searches_runs(pair) and bool(_WIDER.search(_filter(pair)))
    )


def _is_refused_otherwise(pair: Pair) -> bool:
    code, message = _told(pair.fast)
    refused = pair.reference.status in (400, 500) and (pair.fast.status, code) == (400, INVALID)
    return refused and _searches_runs(pair) and message.startswith("Invalid filter at character")


def _ends_in_the_middle(pair: Pair) -> bool:
    shown = b"InvalidEscapeSequence" in pair.reference.body
    return shown and pair.fast.status == 400 and not tells_sql(_told(pair.fast)[1])


def _searches_runs(pair: Pair) -> bool:
    return pair.case.route == SEARCH_RUNS


def _filter(pair: Pair) -> str:
    return str(json.loads(pair.case.body).get("filter", ""))


ALLOWED = (
    Allowed(
        "a filter that only Studio's language has",
        "MLflow knows no OR, NOT and brackets, and IN for runs' ids only",
        _is_wider,
    ),
    Allowed(
        "a filter that is none",
        "Studio says where the mistake is",
        _is_refused_otherwise,
    ),
    Allowed(
        "a pattern that ends with a single backslash",
        "MLflow answers with the SQL that failed; Studio says what is wrong",
        _ends_in_the_middle,
    ),
    Allowed(
        "what is not there is not told apart from what is somebody else's",
        "MLflow answers 404 for the one and 403 for the other (studio.mlflow.disclosure_guards)",
        _is_hidden,
    ),
    Allowed(
        "a time that no column can hold",
        "MLflow answers with the SQL that failed; the comparison has a result all the same",
        lambda pair: b"bigint out of range" in pair.reference.body and pair.is_native,
    ),
    Allowed(
        "a run of nobody",
        "MLflow cannot tell a run whose user is NULL, nor any page with it",
        lambda pair: _crashed(pair, b"user_id cannot be None"),
    ),
    Allowed(
        "an order by the same key twice",
        "MLflow answers INTERNAL_ERROR; that the second says nothing new, is no error",
        lambda pair: _crashed(pair, b"`order_by` contains duplicate fields"),
    ),
)
