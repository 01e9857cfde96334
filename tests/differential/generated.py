"""Stories that hypothesis makes up: calls in a row on one run, with few keys, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.differential.cases import (
    Case,
    Story,
    create_run,
    delete_tag,
    log_batch,
    log_inputs,
    log_metric,
    log_param,
    set_tag,
    update,
)
from tests.differential.stories.making import used

NAME = "mlflow.runName"
_KEYS = st.sampled_from(
    [
        "a",
        "b",
        "B",
        "a/b",
        "a b",
        "a:b-c.d_e",
        "ключ",
        "\u00e9",
        "x" * 250,
        "a\n",
        "base",
        "fixed",
        "kept",
    ]
)
_BAD_KEYS = st.sampled_from(
    ["", "a//b", "..", "/a", "a/", "!", "e\u0301", "\U0001f600", "x" * 251, "\0", None, 7, ["a"]]
)
# What protobuf's JSON takes for a number.
_NUMBERS = st.one_of(
    st.sampled_from([0, -0.0, 1, 1.5, -1, True, "NaN", "Infinity", "-Infinity", "1.5", "1e3", 5e-324, 1.7976931348623157e308, 2**53 + 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60),
)  # fmt: skip
_BAD_NUMBERS: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "nan", [], {}, float("nan"), float("inf"), "1_0", " 1"]
)
_WHOLE = st.one_of(
    st.integers(0, 3), st.sampled_from([2**31, 2**63 - 1, "2", "1e3", 2.0, 1_700_000_000_000])
)
_STEPS = st.one_of(_WHOLE, st.integers(-3, -1), st.just(-(2**63)))
_BAD_WHOLE: st.SearchStrategy[Any] = st.sampled_from(
    [None, -1, 1.5, "x", "", 2**63, -(2**63) - 1, True, [], "NaN"]
)
_TEXTS = st.one_of(
    st.sampled_from(["", "1", "2", " ", "\n", "null", "%s", "'\"\\", "\u202e\u05d0", "e\u0301"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
    st.sampled_from(["x" * 6000, "x" * 6001, "\U0001f600" * 6001, "x" * 8001]),
)
_BAD_TEXTS = st.sampled_from(["\0", "a\ud800", 1, True, [], {}])


def _seldom(common: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Something wrong in one of forty: most batches go through."""
    return st.integers(0, 39).flatmap(lambda drawn: rare if drawn == 20 else common)


def _entries(
    needed: dict[str, st.SearchStrategy[Any]],
    optional: dict[str, st.SearchStrategy[Any]],
    most: int,
) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(needed, optional=optional), max_size=most)


def _stories(wrong: bool) -> st.SearchStrategy[Story]:
    """Stories of calls that are all right, or have something `wrong` here and there."""

    def mixed(
        common: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]
    ) -> st.SearchStrategy[Any]:
        return _seldom(common, rare) if wrong else common

    key, text = mixed(_KEYS, _BAD_KEYS), mixed(_TEXTS, _BAD_TEXTS)
    point = {
        "key": key,
        "value": mixed(_NUMBERS, _BAD_NUMBERS),
        "timestamp": mixed(_WHOLE, _BAD_WHOLE),
    }
    step = {"step": mixed(_STEPS, _BAD_WHOLE)}
    batch = st.fixed_dictionaries(
        {},
        optional={
            "metrics": _entries(point, step, 40),
            "params": _entries({"key": key}, {"value": text}, 4),
            "tags": _entries({"key": st.one_of(key, st.just(NAME))}, {"value": text}, 8),
        },
    )
    calls = st.one_of(
        batch.map(lambda given: log_batch(**given)),
        batch.map(lambda given: log_batch(**given)),
        st.fixed_dictionaries(point | step).map(lambda given: log_metric(**given)),
        st.builds(log_param, key, text),
        st.builds(set_tag, st.one_of(key, st.just(NAME)), text),
        st.builds(delete_tag, key),
        _updates(text, mixed(_WHOLE, _BAD_WHOLE)),
        _runs(key, text, mixed(_STEPS, _BAD_WHOLE)),
        _inputs(text),
    )
    return st.lists(calls, min_size=1, max_size=2).map(_story)


def _updates(
    text: st.SearchStrategy[Any], whole: st.SearchStrategy[Any]
) -> st.SearchStrategy[Case]:
    status = st.sampled_from(["RUNNING", "FINISHED", "KILLED", 3, None, "x"])
    given = st.fixed_dictionaries(
        {}, optional={"status": status, "end_time": whole, "run_name": text}
    )
    return given.map(lambda fields: update(**fields))


def _runs(
    key: st.SearchStrategy[Any], text: st.SearchStrategy[Any], whole: st.SearchStrategy[Any]
) -> st.SearchStrategy[Case]:
    tags = _entries({"key": key}, {"value": text}, 4)
    optional = {"run_name": text, "start_time": whole, "user_id": text, "tags": tags}
    return st.fixed_dictionaries({}, optional=optional).map(lambda fields: create_run(**fields))


def _inputs(text: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    word = st.sampled_from(["d", "e", ""])
    tags = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=2)
    dataset = st.builds(
        lambda tags, given: used(*tags, **given),
        tags,
        st.fixed_dictionaries(
            {"name": word, "digest": word}, optional={"source": text, "schema": text}
        ),
    )
    models = st.lists(st.sampled_from([{"model_id": "@model@"}, {"model_id": "@foreign_model@"}]))
    return st.builds(log_inputs, datasets=st.lists(dataset, max_size=4), models=models)


def _story(calls: list[Case]) -> Story:
    return Story("generated", tuple(calls))


STORIES = st.one_of(_stories(wrong=False), _stories(wrong=False), _stories(wrong=True))
