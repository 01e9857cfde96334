"""What becomes of metrics: which points are kept, and which is the latest."""

from __future__ import annotations

from typing import Any

from tests.differential.cases import Case, Story, log_batch, log_metric

NAN, INF, MINUS = "NaN", "Infinity", "-Infinity"


def points(*given: tuple[Any, ...], **more: Any) -> Case:
    """A batch of points of (key, value, timestamp, step)."""
    names = ("key", "value", "timestamp", "step")
    return log_batch(metrics=[dict(zip(names, each, strict=False)) | more for each in given])


def _keys(count: int) -> list[tuple[Any, ...]]:
    return [(f"k{number}", number / 7, number, number) for number in range(count)]


STORIES = [
    Story("the same point twice", (log_metric("a", 1.5), log_metric("a", 1.5))),
    Story("the same step, another value", (log_metric("a", 2), log_metric("a", 1))),
    Story("the same step, a later time", (log_metric("a", 2, 5), log_metric("a", 1, 6))),
    Story("an earlier step, a later time", (log_metric("a", 2, 5, 3), log_metric("a", 9, 8, 2))),
    Story("a negative step after none", (log_metric("a", 2), log_metric("a", 3, step=-5))),
    Story("without a step", (log_metric("a", 2, step=None), log_metric("a", 1, step=None))),
    Story("NaN after a number", (log_metric("a", 2), log_metric("a", NAN))),
    Story("a number after NaN", (log_metric("a", NAN), log_metric("a", 2))),
    Story("a number below 0 after NaN", (log_metric("a", NAN), log_metric("a", -2))),
    Story("0 after NaN", (log_metric("a", NAN), log_metric("a", 0))),
    Story("NaN after 0", (log_metric("a", 0), log_metric("a", NAN))),
    Story("NaN twice", (log_metric("a", NAN), log_metric("a", NAN))),
    Story("NaN at a later step", (log_metric("a", 2), log_metric("a", NAN, 1, 1))),
    Story("infinities", tuple(log_metric("a", value) for value in (MINUS, 5, INF, MINUS, NAN))),
    Story("-0.0 and 0.0", (log_metric("a", -0.0), log_metric("a", 0.0))),
    Story("0.0 and -0.0", (log_metric("a", 0.0), log_metric("a", -0.0))),
    Story(
        "numbers at the ends",
        (
            log_metric("a", 5e-324),
            log_metric("a", 1.7976931348623157e308, 1, 1),
            log_metric("a", -1.7976931348623157e308, 1, 2),
            log_metric("a", 0.1 + 0.2, 1, 3),
            log_metric("a", 2**53 + 1, 1, 4),
            log_metric("a", 10**400, 1, 5),
            log_metric("a", 1, 2**63 - 1, 2**63 - 1),
            log_metric("a", 1, 0, -(2**63)),
        ),
    ),
    Story("strings for numbers", (log_metric("a", "1.5", "7", "8"), log_metric("a", "1e3", "7.0"))),
    Story("true for 1", (log_metric("a", True),)),
    Story("the run's id under its old name", (log_metric("a", 1, run_id=None, run_uuid="@run@"),)),
    Story("two different runs", (log_metric("a", 1, run_uuid="@foreign_run@"),)),
    Story("a point of the fixture again", (log_metric("base", 1, 10, 5), log_metric("base", 2, 10, 5))),
    Story("keys that look alike", (points(("a", 1, 1), ("A", 2, 1), ("a ", 3, 1), ("ä", 4, 1), ("a\u0308", 5, 1)),)),
    Story("keys by another script", (points(("ключ", 1, 1), ("键", 2, 1), ("a/b/ç", 3, 1)),)),
    Story("a batch of one point twice", (points(("a", 1, 1, 1), ("a", 1, 1, 1)),)),
    Story("a batch of NaN twice", (points(("a", NAN, 1, 1), ("a", NAN, 1, 1)),)),
    Story("a batch of 0 and NaN", (points(("a", 0, 1, 1), ("a", NAN, 1, 1)), points(("a", NAN, 1, 1), ("a", 0, 1, 1)))),
    Story("a batch of -0.0 and 0.0", (points(("a", -0.0, 1, 1), ("a", 0.0, 1, 1)),)),
    Story("a batch in falling order", (points(*reversed(_keys(20))), points(*_keys(20)))),
    Story("one key, all in one batch", (points(*[("a", (7 * n) % 11, n % 3, n % 5) for n in range(60)]),)),
    Story("NaN among a key's points", (points(("a", 1, 1, 1), ("a", NAN, 1, 1), ("a", -1, 1, 1)), points(("a", INF, 1, 1)))),
    Story("a batch that has come before", (points(*_keys(30)), points(*_keys(30)), points(*_keys(40)))),
    Story("a batch that has come in part", (points(*_keys(5)), points(*[(k, v + 1, t, s) for k, v, t, s in _keys(10)]))),
    Story("1,000 points", (points(*_keys(1000)), points(*[("a", n % 13, n % 7, n % 250) for n in range(1000)]))),
    Story("1,001 points", (points(*_keys(1001)),)),
    Story("an empty batch", (log_batch(), log_batch(metrics=[], params=[], tags=[]))),
    Story("a bad point among good ones", (points(("a", 1, 1), ("b/../c", 1, 1), ("d", 1, 1)),)),
    Story("a point without a time", (points(("a", 1, 1), ("b", 1)),)),
    Story("a point without a value", (points(("a", 1, 1), ("b", None, 1)),)),
    Story("a point before 1970", (points(("a", 1, 1), ("b", 1, -1)), log_metric("a", 1, -1))),
    Story("a deleted run", (log_metric("a", 1, run_id="@deleted_run@"), log_batch(run_id="@deleted_run@"))),
    Story("an active run of a deleted experiment", (log_metric("a", 1, run_id="@stranded_run@"), log_batch(run_id="@stranded_run@"))),
    Story("an unknown run", (log_metric("a", 1, run_id="f" * 32), log_batch(run_id="f" * 32))),
]  # fmt: skip

MODELS = [
    Story("a metric of a model", (log_metric("a", 1, model_id="@model@"), log_metric("a", 1, model_id="@model@"))),
    Story("of a model, another value", (log_metric("a", 1, model_id="@model@"), log_metric("a", 2, model_id="@model@"))),
    Story("of a model, NaN", (log_metric("a", NAN, model_id="@model@"), log_metric("b", INF, model_id="@model@"))),
    Story("of a foreign model", (log_metric("a", 1, model_id="@foreign_model@"),)),
    Story("of an unknown model", (log_metric("a", 1, model_id="m-" + "0" * 32),)),
    Story("of a model, with a dataset", (log_metric("a", 1, model_id="@model@", dataset_name="d", dataset_digest="1"),)),
    Story("with a dataset, of no model", (log_metric("a", 1, dataset_name="d", dataset_digest="1"),)),
    Story("with a dataset's name alone", (log_metric("a", 1, dataset_name="d"), log_metric("a", 1, dataset_digest="1"))),
    Story("of a model, with a dataset's name alone", (log_metric("a", 1, model_id="@model@", dataset_name="d"),)),
    Story("of a model, on an unknown run", (log_metric("a", 1, run_id="f" * 32, model_id="@model@"),)),
    Story("of a model, on a deleted run", (log_metric("a", 1, run_id="@deleted_run@", model_id="@model@"),)),
    Story("of a model, with a bad key", (log_metric("a//b", 1, model_id="@model@"),)),
    Story("of a model, with a dataset that is too long", (log_metric("a", 1, model_id="@model@", dataset_name="d" * 501, dataset_digest="1"), log_metric("a", 1, model_id="@model@", dataset_name="d", dataset_digest="1" * 37))),
    Story("a batch of a model", (points(("a", 1, 1, 1), ("b", 2, 1, 1), model_id="@model@"), points(("a", 1, 1, 1), ("c", 2, 1, 1), model_id="@model@"))),
    Story("a batch of a model, one point twice", (points(("a", 1, 1, 1), ("a", 1, 1, 1), model_id="@model@"),)),
    Story("a batch of a model, one step twice", (points(("a", 1, 1, 1), ("a", 2, 1, 1), model_id="@model@"),)),
    Story("a batch of two models and none", (log_batch(metrics=[{"key": "a", "value": n, "timestamp": 1} | more for n, more in enumerate(({}, {"model_id": "@model@"}, {"model_id": "@foreign_model@"}))]),)),
    Story("a batch of an unknown model", (log_batch(metrics=[{"key": "a", "value": 1, "timestamp": 1, "model_id": "m-" + "0" * 32}], params=[{"key": "p", "value": "v"}], tags=[{"key": "t", "value": "v"}]),)),
    Story("a batch that names another run", (points(("a", 1, 1), run_id="@foreign_run@"), points(("a", 1, 1), run_id="@foreign_run@", model_id="@model@"))),
    Story("a batch of a model with its dataset", (points(("a", 1, 1), model_id="@model@", dataset_name="d", dataset_digest="1"), points(("a", 1, 1), model_id="@model@", dataset_name="e", dataset_digest="2"))),
    Story("a batch with a dataset's name alone", (points(("a", 1, 1), dataset_name="d"),)),
]  # fmt: skip
