"""Where Studio answers otherwise than MLflow on purpose: the only differences that the comparison lets through.

Each is a row of docs/compatibility.md, with a test of its own in `test_deviations.py`.
"""

from __future__ import annotations

import json

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from tests.differential.pairs import Deviation, Pair
from tests.differential.requests import message_of

INVALID = "INVALID_PARAMETER_VALUE"
# MLflow says so of a field that it has looked at and found wrong or missing.
_COMPLAINT = "See the API docs for more information about request parameters."


def refused_by_the_parser(pair: Pair) -> bool:
    """Whether protobuf's parser refuses the body: MLflow goes on with what it had read until then."""
    try:
        body = json.loads(pair.sent)
        if isinstance(body, str):
            body = json.loads(body)
        if isinstance(body, dict):
            ParseDict(
                body, GetMessageClass(message_of(pair.case.route))(), ignore_unknown_fields=True
            )
    except ParseError:
        return True
    except (ValueError, RecursionError, OverflowError):  # no JSON, or more than protobuf reads
        return False
    return False


def _refused(pair: Pair) -> bool:
    """The fast lane has refused it in MLflow's form, and stored nothing."""
    fast = pair.fast
    return fast.status == 400 and fast.error_code == INVALID and fast.wrote_nothing


def _corrupt(pair: Pair) -> bool:
    """MLflow went on with what it had read: it stored that, or missed the rest of it."""
    reference = pair.reference
    went_on = reference.status != 403 and _COMPLAINT not in reference.message
    return went_on and refused_by_the_parser(pair) and _refused(pair)


def _crashed(pair: Pair) -> bool:
    fast = pair.fast
    denied = fast.status == 403 and fast.wrote_nothing
    return pair.reference.status == 500 and (denied or _refused(pair))


def _unsaid(pair: Pair) -> bool:
    """The same refusal in words that tell nothing of the database."""
    fast, reference = pair.fast, pair.reference
    same = (fast.status, fast.error_code) == (reference.status, reference.error_code)
    return same and tells_sql(reference.message) and not tells_sql(fast.message)


def tells_sql(message: str) -> bool:
    return any(
        sign in message for sign in ("[SQL", "psycopg", "sqlalche", "INSERT INTO", "SELECT ")
    )


def _half_stored(pair: Pair) -> bool:
    """MLflow has stored a part of a batch, and refused it then; the fast lane the same, but for the part."""
    fast, reference = pair.fast, pair.reference
    refused = fast.status == reference.status == 400 and fast.error_code == reference.error_code
    is_batch = pair.case.route == "mlflow/runs/log-batch"
    return is_batch and refused and fast.wrote_nothing and not reference.wrote_nothing


def _never(pair: Pair) -> bool:
    return False


DEVIATIONS = (
    Deviation(
        "corrupt values are refused",
        "stores 0 or nothing in place of a value that it cannot read",
        _corrupt,
        _corrupt,
    ),
    Deviation(
        "a batch is stored whole or not at all",
        "stores the params and metrics of a `log-batch` that it then refuses",
        _never,
        _half_stored,
    ),
    Deviation(
        "no SQL in errors",
        "puts the SQL statement and its parameters into the message",
        _unsaid,
        _never,
    ),
    Deviation(
        "what crashes MLflow is refused",
        "answers a bare 500 page",
        _crashed,
        _crashed,
    ),
)
