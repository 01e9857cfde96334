"""What becomes of params and tags."""

from __future__ import annotations

from typing import Any

from tests.differential.cases import (
    Case,
    Story,
    delete_tag,
    log_batch,
    log_param,
    set_tag,
    update,
)

NAME = "mlflow.runName"
_UNKNOWN = "f" * 32


def params(*given: tuple[str, Any]) -> Case:
    return log_batch(params=[{"key": key, "value": value} for key, value in given])


def tags(*given: tuple[str, Any]) -> Case:
    return log_batch(tags=[{"key": key, "value": value} for key, value in given])


def _many(count: int) -> list[dict[str, str]]:
    return [{"key": f"k{number}", "value": str(number)} for number in range(count)]


def _points(count: int) -> list[dict[str, Any]]:
    return [{"key": f"k{number}", "value": number, "timestamp": 1} for number in range(count)]


PARAMS = [
    Story("a param twice", (log_param("a", "1"), log_param("a", "1"))),
    Story("a param changed", (log_param("a", "1"), log_param("a", "2"))),
    Story("a param of the fixture", (log_param("fixed", "1"), log_param("fixed", "2"))),
    Story("a param without a value", (log_param("a"), log_param("a", ""), log_param("a", "1"))),
    Story("a param with line breaks and quotes", (log_param("a", "x'\"\n\\%s{}"), log_param("a", "y"))),
    Story("a param cut off is the same", (log_param("a", "x" * 6001), log_param("a", "x" * 6002), log_param("a", "x" * 6000))),
    Story("a param of astral characters cut off", (log_param("a", "\U0001f600" * 6001), params(("b", "\U0001f600" * 6001)))),
    Story("a param in a batch, twice the same", (params(("a", "1"), ("a", "1")),)),
    Story("a param in a batch, twice", (params(("a", "1"), ("b", "1"), ("a", "2"), ("b", "1")),)),
    Story("params in a batch that has come before", (params(("a", "1"), ("b", "2")), params(("b", "2"), ("c", "3")))),
    Story("a param changed by a batch", (params(("a", "1")), params(("b", "2"), ("a", "3"), ("c", "4")))),
    Story("two params changed by a batch", (params(("a", "1"), ("b", "1")), params(("c", "1"), ("b", "2"), ("a", "2")))),
    Story("a batch of params without values", (log_batch(params=[{"key": "a"}, {"key": "b", "value": None}]),)),
    Story("100 params", (log_batch(params=_many(100)), log_batch(params=_many(100)))),
    Story("101 params", (log_batch(params=_many(101)),)),
    Story("a param on a deleted run", (log_param("a", "1", run_id="@deleted_run@"),)),
    Story("a param on a run of a deleted experiment", (log_param("a", "1", run_id="@stranded_run@"),)),
    Story("a param on an unknown run", (log_param("a", "1", run_id=_UNKNOWN),)),
    Story("a param by the run's old name", (log_param("a", "1", run_id=None, run_uuid="@run@"),)),
    Story("a param changed on a deleted run", (log_param("fixed", "2", run_id="@deleted_run@"),)),
    Story("keys that differ in little", (params(("a", "1"), ("A", "2"), ("a ", "3"), (" a", "4"), ("a\n", "5")),)),
]  # fmt: skip

TAGS = [
    Story("a tag twice", (set_tag("a", "1"), set_tag("a", "1"), set_tag("a", "2"))),
    Story("a tag without a value", (set_tag("a"), set_tag("b", ""), set_tag("a", "1"), set_tag("a"))),
    Story("a tag of the fixture", (set_tag("kept", "w"), delete_tag("kept"), delete_tag("kept"))),
    Story("a tag cut off", (set_tag("a", "x" * 8001), tags(("b", "x" * 8001)))),
    Story("a tag of astral characters cut off", (set_tag("a", "\U0001f600" * 8001), tags(("b", "\U0001f600" * 8001)))),
    Story("a tag twice in a batch", (tags(("a", "1"), ("b", "1"), ("a", "2")), tags(("a", "3"), ("a", "1")))),
    Story("tags in a batch that has come before", (tags(("a", "1"), ("b", "2")), tags(("b", "2"), ("c", "3"), ("a", "4")))),
    Story("a batch of tags without values", (log_batch(tags=[{"key": "a"}, {"key": "b", "value": None}]),)),
    Story("100 tags", (log_batch(tags=_many(100)), log_batch(tags=_many(100)))),
    Story("101 tags", (log_batch(tags=_many(101)),)),
    Story("the run's name as a tag", (set_tag(NAME, "another"), set_tag(NAME, ""), set_tag(NAME))),
    Story("the run's name as a tag that is too long", (set_tag(NAME, "x" * 250), set_tag(NAME, "x" * 251))),
    Story("the run's name in a batch", (tags((NAME, "another")), tags((NAME, "a"), (NAME, "b")), tags((NAME, "")))),
    Story("the run's name twice in a batch, the first too long", (tags((NAME, "x" * 251), (NAME, "y")),)),
    Story("the run's name in a batch, too long", (tags(("a", "1"), (NAME, "x" * 251)),)),
    Story("the run's name deleted", (delete_tag(NAME), update(run_name="again"), delete_tag(NAME), set_tag(NAME, "x"))),
    Story("a tag on a deleted run", (set_tag("a", "1", run_id="@deleted_run@"), delete_tag("a", run_id="@deleted_run@"))),
    Story("a tag on a run of a deleted experiment", (set_tag("a", "1", run_id="@stranded_run@"), delete_tag("a", run_id="@stranded_run@"))),
    Story("a tag on an unknown run", (set_tag("a", "1", run_id=_UNKNOWN), delete_tag("a", run_id=_UNKNOWN))),
    Story("a tag by the run's old name", (set_tag("a", "1", run_id=None, run_uuid="@run@"), delete_tag("kept", run_id=None, run_uuid="@run@"))),
    Story("a tag that is not there", (delete_tag("a"), delete_tag("a/../b"), delete_tag(" "), delete_tag("x" * 251))),
    Story("tags that MLflow itself sets", (set_tag("mlflow.user", "x"), set_tag("mlflow.note.content", "# x"), set_tag("mlflow.parentRunId", "@foreign_run@"))),
]  # fmt: skip

BATCHES = [
    Story("one of each", (log_batch(metrics=_points(2), params=_many(2), tags=_many(2)),)),
    Story("1,000 together", (log_batch(metrics=_points(800), params=_many(100), tags=_many(100)),)),
    Story("1,001 together", (log_batch(metrics=_points(801), params=_many(100), tags=_many(100)),)),
    Story("too many of two kinds", (log_batch(metrics=_points(1), params=_many(101), tags=_many(101)),)),
    Story("a bad tag after good params", (log_batch(metrics=_points(2), params=_many(2), tags=[{"key": "a//b", "value": "1"}]),)),
    Story("a tag that is too long for the name", (log_batch(metrics=_points(2), params=_many(2), tags=[{"key": NAME, "value": "x" * 251}]),)),
    Story("a changed param before good metrics", (log_batch(metrics=_points(2), params=[{"key": "fixed", "value": "2"}], tags=_many(2)),)),
    Story("NUL in a tag after good params", (log_batch(metrics=_points(2), params=_many(2), tags=[{"key": "a", "value": "\0"}]),)),
    Story("by the run's old name", (log_batch(run_id=None, run_uuid="@run@", metrics=_points(1)),)),
    Story("of another run as well", (log_batch(run_uuid="@foreign_run@", metrics=_points(1)),)),
    Story("bad in more than one place", (log_batch(metrics=[{"key": "a//b", "value": 1, "timestamp": -1}], params=[{"key": "..", "value": "1"}], tags=[{"key": "!", "value": "1"}]),)),
    Story("bad on an unknown run", (log_batch(run_id=_UNKNOWN, params=[{"key": "..", "value": "1"}]), log_batch(run_id=_UNKNOWN, params=_many(101)))),
    Story("bad on a deleted run", (log_batch(run_id="@deleted_run@", params=[{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]),)),
]  # fmt: skip
