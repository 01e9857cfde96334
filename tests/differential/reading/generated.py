"""Searches that hypothesis makes up: well formed, over what is there to be found, so that most find something."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.cases import Case
from tests.differential.reading.asks import post
from tests.differential.reading.ids import (
    DELETED,
    FOREIGN,
    LONG,
    OWN,
    RUNS,
    SECOND,
    UNKNOWN_EXPERIMENT,
)
from tests.differential.reading.rows import ODD_KEYS, TEXTS

_EXPERIMENTS = [str(number) for number in (OWN, SECOND, FOREIGN, DELETED, LONG)]
_NUMERIC = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_STRING = st.sampled_from(["=", "!=", "LIKE", "ILIKE", "like"])
_NUMBERS = st.one_of(
    st.sampled_from(["0", "0.5", "0.25", "1e16", "0.42857142857142855", "-1e300"]),
    st.integers(-3, 20).map(str),
    st.floats(-2, 2, allow_subnormal=False).map(lambda value: f"{value:.17f}"),
)
# Quoted by what is not in them; a backslash at the end of a pattern is not well formed.
_WORDS = [text for text in TEXTS if not ("'" in text and '"' in text)]
_PATTERNS = st.sampled_from(
    ["%", "p%", "%N", "pl_in", "100\\%", "under\\_score", "%\\\\%", "%ю%", "%\n%", "%%", "r_d", "_%", "%e%", "tagged%", "%u%", "d1", "train set"]
)  # fmt: skip
_QUOTABLE_KEYS = [key for key in ODD_KEYS if "`" not in key]


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


_TEXTS = st.one_of(st.sampled_from(_WORDS), _PATTERNS, st.sampled_from(["red", "RED", "1", "odd 1", "same"])).map(_quoted)  # fmt: skip
_METRIC = st.sampled_from(["loss", "acc", "third", "none", *(f"`{key}`" for key in _QUOTABLE_KEYS)])
_VALUE = st.one_of(
    st.tuples(st.sampled_from(["params", "param", "parameters"]), st.sampled_from(["text", "depth", "empty", "none", *(f"`{key}`" for key in _QUOTABLE_KEYS)])),
    st.tuples(st.sampled_from(["tags", "tag"]), st.sampled_from(["text", "colour", "mlflow.runName", "none", *(f"`{key}`" for key in _QUOTABLE_KEYS)])),
).map(".".join)  # fmt: skip
_PREFIX = st.sampled_from(["", "attributes.", "attribute.", "run."])
_TIME = st.builds("{}{}".format, _PREFIX, st.sampled_from(["start_time", "end_time", "Created"]))
_ATTRIBUTE = st.builds(
    "{}{}".format, _PREFIX, st.sampled_from(["status", "run_name", "user_id", "artifact_uri", "run_id"])
)  # fmt: skip
_MEANT = st.one_of(_TEXTS, st.sampled_from(["'FINISHED'", "'RUNNING'", "'somebody'", "'run 8'", "'tagged 1'"]))  # fmt: skip
_CHOSEN = st.lists(st.sampled_from([*RUNS.values()]), min_size=1, max_size=40).map(
    lambda chosen: f"({', '.join(map(_quoted, chosen))})"
)
_CONDITIONS = st.one_of(
    st.builds("metrics.{} {} {}".format, _METRIC, _NUMERIC, _NUMBERS),
    st.builds("{} {} {}".format, _VALUE, _STRING, _TEXTS),
    st.builds("{} {}".format, _VALUE, st.sampled_from(["IS NULL", "IS NOT NULL"])),
    st.builds("{} {} {}".format, _TIME, _NUMERIC, st.integers(999, 2025)),
    st.builds("{} {} {}".format, _ATTRIBUTE, _STRING, _MEANT),
    st.builds("{}run_id {} {}".format, _PREFIX, st.sampled_from(["IN", "NOT IN"]), _CHOSEN),
    st.builds(
        "datasets.{} {} {}".format, st.sampled_from(["name", "digest", "context"]), _STRING,
        st.one_of(_TEXTS, st.sampled_from(["'train set'", "'d1'", "'D1'", "'training'"])),
    ),
)  # fmt: skip
# What an order is by is read as a shell's words are: a quote must be closed.
_TERMS = st.builds(
    "{}{}".format,
    st.one_of(_METRIC.map(lambda key: f"metrics.{key}"), _VALUE, _TIME, _ATTRIBUTE),
    st.sampled_from(["", " ASC", " DESC"]),
).filter(lambda term: "'" not in term)


def _key(term: str) -> str:
    """What a term orders by: MLflow takes each only once."""
    name = term.removesuffix(" ASC").removesuffix(" DESC").split(".", 1)[-1]
    return "start_time" if name == "Created" else name


def _search(experiments: list[str], **fields: object) -> Case:
    return post("mlflow/runs/search", experiment_ids=experiments, **fields)


SEARCHES = st.builds(
    _search,
    st.one_of(
        st.just([str(OWN)]),
        st.just([str(OWN), str(SECOND)]),
        st.lists(st.sampled_from([*_EXPERIMENTS, UNKNOWN_EXPERIMENT]), min_size=1),
    ),
    filter=st.sampled_from([2, 1, 3, 1, 2, 0]).flatmap(
        lambda count: st.lists(_CONDITIONS, min_size=count, max_size=count).map(" AND ".join)
    ),
    order_by=st.sampled_from([1, 2, 3, 0]).flatmap(
        lambda count: st.lists(_TERMS, min_size=count, max_size=count, unique_by=_key)
    ),
    run_view_type=st.sampled_from(["ACTIVE_ONLY", "ALL", "ALL", "DELETED_ONLY"]),
    max_results=st.sampled_from([1, 3, 7, 10, 50, 1000, 50_000]),
)
