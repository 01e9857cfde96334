"""Who may see which models and versions, in what else they are told of: pages, runs, versions of what may be seen."""

from __future__ import annotations

import pytest
from mlflow.utils.search_utils import SearchUtils

from tests.differential.cast import EVERYBODY
from tests.differential.reading.asks import (
    BY_ALIAS,
    GET_MODEL,
    GET_VERSION,
    SEARCH_MODELS,
    SEARCH_VERSIONS,
    get,
)
from tests.differential.reading.comparing import Reading
from tests.differential.reading.ids import RUN
from tests.differential.reading.registry_rows import (
    BARE,
    GONE,
    IS_PROMPT,
    MARKED,
    PROMPT,
    STAGED,
    UNKNOWN_NAME,
)

_ALL = "name ILIKE 'reading%'"
_PROMPTS = f"{_ALL} AND tags.`{IS_PROMPT}` = 'true'"
_SOME = (STAGED, BARE, GONE, MARKED, "reading-03", "reading-05", "reading-07", PROMPT, "reading-prompt-1", "reading-prompt-2", "reading-prompt-3", UNKNOWN_NAME)  # fmt: skip
_BY_PERSON = pytest.mark.parametrize("who", EVERYBODY)


@_BY_PERSON
def test_each_model_is_told_to_whom_mlflow_tells_it(reading: Reading, who: str) -> None:
    reading.compare(get(GET_MODEL, name=name).by(who) for name in _SOME)


@_BY_PERSON
def test_each_version_is_told_to_whom_mlflow_tells_it(reading: Reading, who: str) -> None:
    for name in _SOME:
        reading.compare(get(GET_VERSION, name=name, version=n).by(who) for n in (1, 2, 3, 99))
        reading.compare(get(BY_ALIAS, name=name, alias=alias).by(who) for alias in ("champion", "latest", "none"))  # fmt: skip


@_BY_PERSON
@pytest.mark.parametrize("condition", [_ALL, _PROMPTS])
def test_pages_of_models_leave_out_the_same(reading: Reading, who: str, condition: str) -> None:
    """MLflow goes on where some of a page may not be seen, and counts those in its tokens."""
    for size in (1, 2, 5, 12, 100):
        tokens = [SearchUtils.create_page_token(offset).decode() for offset in (0, 1, 3, 11, 30)]
        pages = [get(SEARCH_MODELS, filter=condition, max_results=size, page_token=t) for t in ("", *tokens)]  # fmt: skip
        reading.compare(page.by(who) for page in pages)


@_BY_PERSON
@pytest.mark.parametrize("condition", [_ALL, _PROMPTS])
def test_pages_of_versions_leave_out_the_same(reading: Reading, who: str, condition: str) -> None:
    for size in (1, 7, 500):
        tokens = [SearchUtils.create_page_token(offset).decode() for offset in (0, 3, 40)]
        pages = [get(SEARCH_VERSIONS, filter=condition, max_results=size, page_token=t) for t in ("", *tokens)]  # fmt: skip
        reading.compare(page.by(who) for page in pages)


@_BY_PERSON
def test_versions_are_chosen_by_runs_for_whom_mlflow_does_it(reading: Reading, who: str) -> None:
    conditions = (f"run_id = '{RUN}'", f"run_id IN ('{RUN}')", f"tags.run_id = '{RUN}'", f"{_ALL} AND run_id != 'x'")  # fmt: skip
    reading.compare(get(SEARCH_VERSIONS, filter=each).by(who) for each in conditions)


def test_runs_are_hidden_from_whom_they_are_denied(reading: Reading) -> None:
    asks = [
        get(GET_MODEL, name=STAGED),
        get(SEARCH_MODELS, filter=f"name = '{STAGED}'"),
        get(SEARCH_VERSIONS, filter=f"name = '{STAGED}'"),
    ]
    for case in asks:
        shown, hidden = reading.compare_native([case.by("reader"), case.by("denied runs")])
        assert RUN.encode() in shown.fast.body
        assert b'"version"' in hidden.fast.body
        assert RUN.encode() not in hidden.fast.body


def test_versions_are_hidden_from_whom_they_are_denied(reading: Reading) -> None:
    shown, hidden = reading.compare_native(
        get(GET_MODEL, name=STAGED).by(who) for who in ("reader", "reader of runs")
    )
    assert b"latest_versions" in shown.fast.body
    assert b"latest_versions" not in hidden.fast.body


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("editor of runs", ["reading-prompt-2"]),  # which MLflow leaves out as little as a model
        ("reader", [STAGED, BARE, "reading it's", "reading-07"]),
        ("stranger", []),
    ],
)
def test_each_finds_the_models_that_are_his(reading: Reading, who: str, names: list[str]) -> None:
    (pair,) = reading.compare_native([get(SEARCH_MODELS, filter=_ALL, max_results=1000).by(who)])
    found = [model["name"] for model in pair.content.get("registered_models", [])]
    assert sorted(found) == sorted(names)
