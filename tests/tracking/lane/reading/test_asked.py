"""What is asked as clients ask it is read; whatever else comes is MLflow's to answer."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from studio.lane.asked import Asked, token_for
from studio.lane.asking import Elsewhere
from studio.lane.messages import Body
from tracking.lane.reading import experiments, histories, runs

RUN = "a" * 32


def query(text: str) -> Asked:
    return Asked("GET", text, Body(b"", None))


def body(given: Any, kind: str | None = "application/json") -> Asked:
    raw = given if isinstance(given, bytes) else orjson.dumps(given)
    return Asked("POST", "", Body(raw, kind))


@pytest.mark.parametrize("name", ["run_id", "run_uuid"])
def test_a_run_is_meant_by_either_name(name: str) -> None:
    assert runs.get(query(f"{name}={RUN}")).run_id == RUN


@pytest.mark.parametrize(
    "text",
    [
        "", "run_id=", f"run_id={RUN}&run_uuid={RUN}", f"run_id={RUN}&run_id={RUN}", f"runId={RUN}",
        f"run_id={RUN}&other=1", "run_id=a%00b", "run_id=a%FFb", "run_id=\u00e9",
    ],
)  # fmt: skip
def test_unusual_queries_are_answered_elsewhere(text: str) -> None:
    with pytest.raises(Elsewhere):
        runs.get(query(text))


def page_of(given: dict[str, Any]) -> runs.Page:
    page = runs.search(body(given))
    assert isinstance(page, runs.Page)
    return page


def test_a_search_is_read_with_what_mlflow_takes_for_absent() -> None:
    page = page_of({"experiment_ids": ["1", "12"]})
    assert (page.search.experiments, page.search.stages) == ([1, 12], ["active"])
    assert (page.most, page.offset) == (1000, 0)
    given = {"max_results": 7, "page_token": token_for(14).decode(), "run_view_type": "ALL"}
    page = page_of({"experiment_ids": ["1"], **given})
    assert (page.most, page.offset, page.search.stages) == (7, 14, ["active", "deleted"])


@pytest.mark.parametrize(
    "given",
    [
        {"experiment_ids": "1"}, {"experiment_ids": [1]}, {"experiment_ids": ["01"]}, {"experiment_ids": ["-1"]},
        {"experiment_ids": ["x"]}, {"experiment_ids": [str(2**31)]}, {"experiment_ids": ["\u0661"]},
        {"experimentIds": ["1"]}, {"max_results": 0}, {"max_results": -1}, {"max_results": 50_001},
        {"max_results": 1.0}, {"max_results": True}, {"max_results": "1e3"}, {"max_results": None},
        {"run_view_type": 1}, {"run_view_type": "active_only"}, {"order_by": "metrics.a"}, {"order_by": [None]},
        {"filter": 1}, {"order_by": ["nothing.a"]}, {"order_by": ["metrics.a UP"]},
        {"filter": "a\0b"}, {"page_token": "x"}, {"page_token": base64.b64encode(b"{}").decode()},
        {"page_token": base64.b64encode(b'{"offset": -1}').decode()},
    ],
    ids=str,
)  # fmt: skip
def test_unusual_searches_are_answered_elsewhere(given: dict[str, Any]) -> None:
    with pytest.raises(Elsewhere):
        runs.search(body(given))


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "application/json"), (b"[]", "application/json"), (b"{", "application/json"),
        (b'"{}"', "application/json"), (b"{}", "text/plain"), (b"{}", None),
    ],
)  # fmt: skip
def test_unusual_bodies_are_answered_elsewhere(raw: bytes, kind: str | None) -> None:
    with pytest.raises(Elsewhere):
        runs.search(body(raw, kind))


@pytest.mark.parametrize(
    "text",
    [
        "", "run_ids=a&run_ids=a&metric_key=k", "run_ids=a", "metric_key=k", "run_ids=a&metric_key=k&start_step=1",
        "run_ids=a&metric_key=k&end_step=1", "run_ids=a&metric_key=k&start_step=2&end_step=1",
        "run_ids=a&metric_key=k&max_results=0", "run_ids=a&metric_key=k&max_results=2501",
        "&".join([*(f"run_ids={number}" for number in range(101)), "metric_key=k"]),
    ],
)  # fmt: skip
def test_unusual_intervals_are_answered_elsewhere(text: str) -> None:
    with pytest.raises(Elsewhere):
        histories.interval(query(text))


def test_a_bulk_of_points_has_a_largest_size() -> None:
    assert histories.bulk(query("run_id=a&run_id=b&metric_key=k&max_results=99999")).most == 25_000
    with pytest.raises(Elsewhere):
        histories.bulk(query("run_id=a&metric_key=k&max_results=-1"))


@pytest.mark.parametrize("by_body", [False, True])
def test_experiments_are_searched_by_query_or_body(by_body: bool) -> None:
    text = "max_results=5&order_by=name%20ASC&filter=name%20%3D%20%27a%27&view_type=ALL"
    given = {
        "max_results": 5, "order_by": ["name ASC"], "filter": "name = 'a'", "view_type": "ALL",
    }  # fmt: skip
    page = experiments.search(body(given) if by_body else query(text))
    assert (page.most, page.order) == (5, "name ASC, experiment_id DESC")
    assert (page.where.text, page.where.given) == ("(name = %s)", ("a",))


@pytest.mark.parametrize(
    "text",
    [
        "view_type=ALL", "max_results=50001", "max_results=1&order_by=tags.a", "max_results=1&filter=name%20%3E%20%27a%27",
        "max_results=1&filter=creation_time%20LIKE%20%27a%27", "max_results=1&filter=experiment_id%20%3D%20%27x%27",
        "max_results=1&filter=tags.a%20%3E%20%27a%27",
    ],
)  # fmt: skip
def test_what_mlflow_refuses_of_experiments_is_refused_by_mlflow(text: str) -> None:
    with pytest.raises(Elsewhere):
        experiments.search(query(text))
