"""The list of experiments, and the table of an experiment's runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from studio.lib.sql import TOO_LONG
from tests.support.pages import Page, page
from tests.tracking.search_cases import SLOW, SLOW_TEXT
from tracking import query
from tracking.models import Experiment, Run

MakeExperiment = Callable[..., Experiment]
MakeRun = Callable[..., Run]


@pytest.fixture
def experiment(make_experiment: MakeExperiment) -> Experiment:
    return make_experiment("vision")


def runs_of(read: Page) -> list[str]:
    return [a.text for a in read.all("a") if a["href"].startswith("/runs/")]


def cells_of(read: Page) -> list[list[str]]:
    """The table's rows."""
    cells, width = read.texts("td"), len(read.all("th")) or 1
    return [cells[start : start + width] for start in range(0, len(cells), width)]


def table(client: Client, experiment: Experiment, **query: str | int) -> Page:
    response = client.get(f"/experiments/{experiment.pk}/", query)
    assert response.status_code == 200
    return page(response)


def test_experiments_are_listed_by_their_last_run(
    as_alice: Client, make_experiment: MakeExperiment, make_run: MakeRun
) -> None:
    first, second, _, gone = (make_experiment(name) for name in ("one", "two", "bare", "gone"))
    make_run(second)
    make_run(first)
    make_run(first)
    make_run(second, lifecycle_stage="deleted")
    Experiment.objects.filter(pk=gone.pk).update(lifecycle_stage="deleted")
    read = page(as_alice.get("/experiments/"))
    listed = [(cells[0], cells[1]) for cells in cells_of(read)]
    assert listed == [("one", "2"), ("two", "1"), ("bare", "0")]
    assert read.link("one") == f"/experiments/{first.pk}/"


def test_experiments_are_found_by_a_part_of_their_name(
    as_alice: Client, make_experiment: MakeExperiment
) -> None:
    for name in ("Churn 2026", "churn", "vision", "100% _done_"):
        make_experiment(name)
    found = {
        text: {row[0] for row in cells_of(page(as_alice.get("/experiments/", {"search": text})))}
        for text in ("churn", "%", "_", "nothing")
    }
    assert found["churn"] == {"Churn 2026", "churn"}
    assert found["%"] == found["_"] == {"100% _done_"}
    assert found["nothing"] == set()


def test_pages_of_experiments_keep_the_search(
    as_alice: Client, make_experiment: MakeExperiment
) -> None:
    for number in range(60):
        make_experiment(f"a&b {number}")
    first = page(as_alice.get("/experiments/", {"search": "a&b"}))
    assert len(cells_of(first)) == 50
    second = page(as_alice.get(f"/experiments/{first.related('next')}"))
    assert len(cells_of(second)) == 10
    assert page(as_alice.get(f"/experiments/{second.related('prev')}")).texts("td") == first.texts(
        "td"
    )


def test_an_empty_studio_tells_how_to_begin(as_alice: Client, experiment: Experiment) -> None:
    Experiment.objects.all().delete()
    assert "mlflow.log_metric" in as_alice.get("/experiments/").content.decode()


def test_an_experiment_without_runs_tells_how_to_begin(
    as_alice: Client, experiment: Experiment
) -> None:
    assert "Log your first run" in table(as_alice, experiment).texts("h2")


def test_runs_come_with_their_commonest_params_and_metrics(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    make_run(experiment, "first", metrics={"loss": 0.25}, params={"depth": "8"})
    make_run(experiment, "second", metrics={"loss": float("nan"), "acc": 1e-9})
    read = table(as_alice, experiment)
    assert read.texts("th") == ["", "Name", "Started", "Took", "By", "loss", "acc", "depth"]
    second, first = cells_of(read)
    assert (first[1], first[3:]) == ("first", ["0.5 s", "alice", "0.25", "–", "8"])
    assert (second[1], second[3:]) == ("second", ["0.5 s", "alice", "NaN", "1e-09", "–"])


def test_more_keys_than_fit_are_counted(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    make_run(experiment, metrics={f"m{n}": n for n in range(9)}, params={"p": "1"})
    assert "0 more params and 3 more metrics" in table(as_alice, experiment).all("footer")[0].text


def test_a_filter_keeps_the_runs_that_match(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    make_run(experiment, "good", metrics={"loss": 0.1})
    make_run(experiment, "bad", metrics={"loss": 0.9})
    read = table(as_alice, experiment, filter="metrics.loss < 0.5")
    assert runs_of(read) == ["good"]
    (box,) = [field for field in read.all("input") if field["name"] == "filter"]
    assert box["value"] == "metrics.loss < 0.5"
    assert runs_of(table(as_alice, experiment, filter=" ")) == ["bad", "good"]
    nothing = table(as_alice, experiment, filter="metrics.loss > 5")
    assert nothing.texts("h2") == ["No run matches this filter"]
    assert nothing.link("Show all runs") == f"/experiments/{experiment.pk}/"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            {"filter": "metrics.loss << 1"},
            "Invalid filter at character 14: expected =, !=, <, <=, > or >=, found `<<`.",
        ),
        ({"filter": "hello"}, "Invalid filter at character 1: expected"),
        ({"filter": "status > 'x'"}, "Invalid filter at character 8: expected"),
        ({"filter": "tags.a ~ '('"}, "invalid regular expression: parentheses () not balanced."),
        (
            {"order_by": "metrics.loss UP"},
            "Invalid ordering key in order_by clause 'metrics.loss UP'",
        ),
        ({"order_by": "dataset.name"}, "Invalid identifier type 'dataset'"),
    ],
)
def test_a_filter_or_an_order_that_is_refused_is_told(
    as_alice: Client,
    experiment: Experiment,
    make_run: MakeRun,
    query: dict[str, str],
    told: str,
) -> None:
    make_run(experiment, "unseen")
    read = table(as_alice, experiment, **query)
    (alert,) = [found.text for found in read.all("div") if found.attributes.get("role") == "alert"]
    assert told in alert
    assert runs_of(read) == []
    (box,) = [field for field in read.all("input") if field["name"] == "filter"]
    assert (box["value"], box["aria-invalid"]) == (query.get("filter", ""), "true")


def test_a_heading_sorts_one_way_then_the_other(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    for name, loss in (("middle", 0.5), ("high", 0.9), ("low", 0.1)):
        make_run(experiment, name, metrics={"loss": loss}, params={"a/b c": name})
    start = table(as_alice, experiment, filter="metrics.loss < 5", page=1)
    up = page(as_alice.get(f"/experiments/{experiment.pk}/{start.link('loss')}"))
    assert runs_of(up) == ["low", "middle", "high"]
    down = page(as_alice.get(f"/experiments/{experiment.pk}/{up.link('loss ↑')}"))
    assert runs_of(down) == ["high", "middle", "low"]
    assert parse_qs(down.link("loss ↓")[1:])["filter"] == ["metrics.loss < 5"]
    by_param = page(as_alice.get(f"/experiments/{experiment.pk}/{start.link('a/b c')}"))
    assert runs_of(by_param) == ["high", "low", "middle"]
    by_name = page(as_alice.get(f"/experiments/{experiment.pk}/{start.link('Name')}"))
    assert runs_of(by_name) == ["high", "low", "middle"]


def test_links_to_pages_keep_the_view(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    for number in range(105):
        make_run(experiment, f"run {number:03}", metrics={"n": number})
    view = {"filter": "metrics.n >= 0", "order_by": "metrics.`n` ASC"}
    first = table(as_alice, experiment, **view)
    assert runs_of(first) == [f"run {number:03}" for number in range(50)]
    assert first.related("prev") is None
    second = page(as_alice.get(f"/experiments/{experiment.pk}/{first.related('next')}"))
    assert runs_of(second)[0] == "run 050"
    third = page(as_alice.get(f"/experiments/{experiment.pk}/{second.related('next')}"))
    assert runs_of(third) == [f"run {number:03}" for number in range(100, 105)]
    assert third.related("next") is None
    assert "101–105 of 105" in third.all("footer")[0].text
    back = page(as_alice.get(f"/experiments/{experiment.pk}/{second.related('prev')}"))
    assert runs_of(back) == runs_of(first)


@pytest.mark.parametrize("asked", ["0", "-1", "x", "99999", "9" * 30, "1.5", "²", ""])
def test_a_page_that_is_not_there_is_the_nearest_one(
    as_alice: Client, experiment: Experiment, make_run: MakeRun, asked: str
) -> None:
    make_run(experiment, "only")
    assert runs_of(table(as_alice, experiment, page=asked)) == ["only"]


def test_deleted_runs_are_shown_when_asked_for(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    make_run(experiment, "here")
    make_run(experiment, "gone", lifecycle_stage="deleted")
    assert runs_of(table(as_alice, experiment)) == ["here"]
    assert runs_of(table(as_alice, experiment, state="deleted")) == ["gone"]
    assert runs_of(table(as_alice, experiment, state="whatever")) == ["here"]


def test_runs_of_another_experiment_are_not_shown(
    as_alice: Client, experiment: Experiment, make_experiment: MakeExperiment, make_run: MakeRun
) -> None:
    make_run(make_experiment(), "elsewhere")
    assert runs_of(table(as_alice, experiment)) == []


@pytest.mark.parametrize("number", ["9" * 20, "9" * 400, "1e999", "-1e999", "9" * 5000])
@pytest.mark.parametrize("key", ["attributes.start_time", "metrics.loss"])
@pytest.mark.parametrize("comparator", ["=", "!=", "<", ">="])
def test_a_number_that_no_column_holds_does_not_break_the_page(
    as_alice: Client, experiment: Experiment, key: str, comparator: str, number: str
) -> None:
    table(as_alice, experiment, filter=f"{key} {comparator} {number}")


@pytest.mark.parametrize("pk", [0, 987654321, 2**31, 2**63, 10**30])
def test_an_experiment_that_is_not_there_is_404(as_alice: Client, pk: int) -> None:
    assert as_alice.get(f"/experiments/{pk}/").status_code == 404


@pytest.mark.parametrize("time", [-(2**63), -1, 0, 10**15, 2**63 - 1])
def test_a_time_that_no_calendar_has_does_not_break_the_page(
    as_alice: Client, experiment: Experiment, make_run: MakeRun, time: int
) -> None:
    run = make_run(experiment, "odd", start_time=time, end_time=time)
    assert runs_of(table(as_alice, experiment)) == ["odd"]
    for path in ("/", "/experiments/", f"/runs/{run.pk}/"):
        assert as_alice.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/experiments/?search=%00", "/experiments/1/?filter=%00", "/runs/%00/"]
)
def test_a_nul_in_an_address_is_refused(as_alice: Client, path: str) -> None:
    response = as_alice.get(path)
    assert response.status_code == 400
    assert "NUL" in response.content.decode()


@pytest.mark.parametrize("n_runs", [1, 30])
def test_the_number_of_queries_does_not_grow(
    as_alice: Client,
    experiment: Experiment,
    make_experiment: MakeExperiment,
    make_run: MakeRun,
    django_assert_num_queries: DjangoAssertNumQueries,
    n_runs: int,
) -> None:
    for number in range(n_runs):
        values: dict[str, Any] = {"metrics": {"loss": number}, "params": {"n": str(number)}}
        make_run(experiment, **values)
        make_run(make_experiment())
    with django_assert_num_queries(4):  # session, user, count, experiments
        as_alice.get("/experiments/")
    with django_assert_num_queries(
        8
    ):  # session, user, experiment, count, runs, params, metrics, tags
        as_alice.get(f"/experiments/{experiment.pk}/", {"filter": "params.n != 'x'"})


def test_an_expression_that_is_built_to_be_slow_is_given_up_and_told(
    as_alice: Client, experiment: Experiment, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(experiment, "slow", params={"slow": SLOW_TEXT})
    monkeypatch.setattr(query, "PATIENCE", 0.2)
    read = table(as_alice, experiment, filter=f"params.slow ~ '{SLOW}'")
    (alert,) = [found.text for found in read.all("div") if found.attributes.get("role") == "alert"]
    assert TOO_LONG in alert
    assert runs_of(table(as_alice, experiment)) == ["slow"]
