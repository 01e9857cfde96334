"""A run's page: its tabs, its relatives, and what it has logged."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from tests.support.pages import Page, page
from tests.support.rows import log_metric, make_version
from tracking.models import Dataset, Experiment, Input, LoggedModel, Run, RunActivity

MakeRun = Callable[..., Run]


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment("vision")


@pytest.fixture
def run(experiment: Experiment, make_run: MakeRun) -> Run:
    return make_run(
        experiment,
        "resnet",
        metrics={"loss": 0.25},
        params={"depth": "18"},
        tags={"team": "red", "mlflow.source.name": "train.py", "mlflow.source.git.commit": "abc1"},
    )


def open_run(client: Client, run: Run, tab: str = "") -> Page:
    response = client.get(f"/runs/{run.pk}/", {"tab": tab} if tab else {})
    assert response.status_code == 200
    return page(response)


def tabs(read: Page) -> list[str]:
    return [a.text for a in read.all("a") if a["href"].startswith("?")]


def log_model(run: Run, name: str, number: int, **given: Any) -> LoggedModel:
    fields = {
        "model_id": f"m-{number:032x}",
        "experiment": run.experiment,
        "name": name,
        "artifact_location": f"mlflow-artifacts:/models/m-{number}",
        "creation_timestamp_ms": number,
        "last_updated_timestamp_ms": number,
        "status": 2,
        "lifecycle_stage": "active",
        "source_run_id": run.pk,
    }
    return LoggedModel.objects.create(**fields | given)


def test_the_overview_tells_what_was_logged(as_alice: Client, run: Run) -> None:
    read = open_run(as_alice, run)
    assert read.texts("h1") == ["resnet"]
    assert tabs(read) == ["Overview", "Artifacts"]
    (current,) = [
        a.text
        for a in read.all("a")
        if a.attributes.get("aria-current") == "page" and a["href"] == "?"
    ]
    assert current == "Overview"
    cells = read.texts("td")
    assert cells[:3] == ["loss", "0.25", "0"]
    assert cells[3:] == ["depth", "18"]
    told = dict(zip(read.texts("dt"), read.texts("dd"), strict=True))
    assert told["Experiment"] == "vision"
    assert told["By"] == "alice · train.py"
    assert told["Commit"] == "abc1"
    assert told["Tags"] == "team: red"
    assert told["Artifacts"] == run.artifact_uri


def test_a_metric_with_a_course_has_a_chart_that_loads_it(as_alice: Client, run: Run) -> None:
    log_metric(run, "acc/val set", [0.5, 0.75])
    read = open_run(as_alice, run)
    (about,) = [each for each in read.all("script") if each.attributes.get("id") == "charts-about"]
    told = json.loads(about.text)
    assert (told["keys"], [each["id"] for each in told["runs"]]) == (["acc/val set"], [run.pk])
    (panel,) = [div for div in read.all("div") if "data-points" in div.attributes]
    assert panel["data-points"] == reverse("tracking:points")
    figures = [div.text for div in read.all("div") if div.attributes.get("class") == "card figure"]
    assert figures == ["loss0.25"]


def test_a_run_that_has_logged_nothing_tells_so(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    bare = make_run(experiment, "bare", start_time=None, end_time=None, user_id=None, status=None)
    read = open_run(as_alice, bare)
    assert "No metrics" in read.texts("h2")
    assert "This run has logged no params." in read.texts("div")
    assert dict(zip(read.texts("dt"), read.texts("dd"), strict=True))["Started"] == "–"
    assert open_run(as_alice, bare, "artifacts").texts("h2")[1:] == ["No artifacts", "Preview"]


def test_a_run_without_a_name_goes_by_its_id(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    run = make_run(experiment)
    Run.objects.filter(pk=run.pk).update(name=None)
    assert open_run(as_alice, run).texts("h1") == [run.pk]


@pytest.mark.parametrize("tab", ["nonsense", "models", "children", "../", "overview"])
def test_a_tab_that_is_not_there_does_not_break_the_page(
    as_alice: Client, run: Run, tab: str
) -> None:
    assert open_run(as_alice, run, tab).texts("h1") == ["resnet"]


def test_a_deleted_run_says_so(as_alice: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lifecycle_stage="deleted")
    assert "Deleted" in open_run(as_alice, run).texts("span")


def heard_of(run: Run, **since: int) -> None:
    RunActivity.objects.create(run_id=run.pk, last_write_at=now() - timedelta(**since))


def last_write(read: Page) -> str | None:
    return dict(zip(read.texts("dt"), read.texts("dd"), strict=True)).get("Last write")


def is_told_to_be_silent(read: Page) -> bool:
    return any(text.startswith("no news for ") for text in read.texts("time"))


@pytest.mark.parametrize(
    ("status", "since", "told"),
    [
        ("FINISHED", {"hours": 3}, "3 h ago"),
        ("RUNNING", {"seconds": 20}, "just now"),
        ("RUNNING", {"minutes": 14}, "14 min ago"),
        ("RUNNING", {"hours": -1}, "just now"),  # the clock was set back
    ],
)
def test_the_last_write_is_told(
    as_alice: Client, run: Run, status: str, since: dict[str, int], told: str
) -> None:
    Run.objects.filter(pk=run.pk).update(status=status)
    heard_of(run, **since)
    read = open_run(as_alice, run)
    assert (last_write(read), is_told_to_be_silent(read)) == (told, False)


@pytest.mark.parametrize("status", ["RUNNING", "FINISHED"])
def test_nothing_is_told_of_a_run_from_before_last_writes_were_noted(
    as_alice: Client, run: Run, status: str
) -> None:
    Run.objects.filter(pk=run.pk).update(status=status)
    read = open_run(as_alice, run)
    assert (last_write(read), is_told_to_be_silent(read)) == (None, False)


def test_of_a_run_that_runs_and_writes_no_more_a_long_silence_is_told(
    as_alice: Client, run: Run
) -> None:
    Run.objects.filter(pk=run.pk).update(status="RUNNING")
    heard_of(run, hours=3)
    for tab in ("overview", "artifacts"):
        assert "no news for 3 h" in open_run(as_alice, run, tab).texts("time")
    told = last_write(open_run(as_alice, run))
    assert told == "3 h ago · its program may have ended without saying so"


def test_a_run_whose_children_write_is_not_silent(
    as_alice: Client, experiment: Experiment, run: Run, make_run: MakeRun
) -> None:
    Run.objects.filter(pk=run.pk).update(status="RUNNING")
    heard_of(run, hours=3)
    child = make_run(experiment, "fold 1", tags={"mlflow.parentRunId": run.pk})
    heard_of(child, hours=2)
    assert is_told_to_be_silent(open_run(as_alice, run))
    RunActivity.objects.filter(pk=child.pk).update(last_write_at=now())
    read = open_run(as_alice, run)
    assert (last_write(read), is_told_to_be_silent(read)) == ("3 h ago", False)


def test_nested_runs_lead_to_each_other(
    as_alice: Client, experiment: Experiment, run: Run, make_run: MakeRun
) -> None:
    inside = {"tags": {"mlflow.parentRunId": run.pk}}
    first, second = (
        make_run(experiment, "fold 1", **inside),
        make_run(experiment, "fold 2", **inside),
    )
    make_run(experiment, "gone", lifecycle_stage="deleted", **inside)
    assert "Child runs2" in tabs(open_run(as_alice, run))
    read = open_run(as_alice, run, "children")
    assert read.link("fold 1") == f"/runs/{first.pk}/"
    assert read.link("fold 2") == f"/runs/{second.pk}/"
    assert "gone" not in read.texts("a")
    assert open_run(as_alice, first).link("resnet") == f"/runs/{run.pk}/"


def test_a_parent_that_is_not_there_is_not_shown(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    orphan = make_run(experiment, tags={"mlflow.parentRunId": "0" * 32})
    assert "Parent run" not in open_run(as_alice, orphan).texts("dt")


def test_a_note_is_shown_with_its_lines(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    run = make_run(experiment, tags={"mlflow.note.content": "first <b>\nsecond"})
    content = as_alice.get(f"/runs/{run.pk}/").content.decode()
    assert "first &lt;b&gt;<br>second" in content


def test_datasets_are_named(as_alice: Client, experiment: Experiment, run: Run) -> None:
    Dataset.objects.create(
        experiment=experiment, name="wine", digest="d1", dataset_uuid="u1",
        dataset_source_type="local", dataset_source="{}",
    )  # fmt: skip
    Input.objects.create(
        input_uuid="i1", source_type="DATASET", source_id="u1",
        destination_type="RUN", destination_id=run.pk, step=0,
    )  # fmt: skip
    read = open_run(as_alice, run)
    assert dict(zip(read.texts("dt"), read.texts("dd"), strict=True))["Data"] == "wine d1"


def test_logged_models_can_be_registered_one_by_one(as_alice: Client, run: Run) -> None:
    log_model(run, "first", 1)
    log_model(run, "second", 2)
    log_model(run, "gone", 3, lifecycle_stage="deleted")
    assert "Models2" in tabs(open_run(as_alice, run))
    read = open_run(as_alice, run, "models")
    assert read.texts("td")[:2] == ["first", f"m-{1:032x}"]
    links = [a["href"] for a in read.all("a") if a.text == "Register model" and "?" in a["href"]]
    assert links == [f"/runs/{run.pk}/register/?model=m-{n:032x}" for n in (1, 2)]


def test_models_of_an_older_client_are_found_by_their_tag(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    history = json.dumps(
        [{"artifact_path": "model"}, {"artifact_path": "model"}, {"artifact_path": "a b"}]
    )
    run = make_run(experiment, tags={"mlflow.log-model.history": history})
    read = open_run(as_alice, run, "models")
    assert read.texts("td")[::3] == ["model", "a b"]


@pytest.mark.parametrize(
    "history",
    ["", "{", "null", "5", "{}", '"x"', "[1]", "[{}]", '[{"artifact_path": 1}', "[" * 8000],
)
def test_a_tag_that_is_no_history_breaks_nothing(
    as_alice: Client, experiment: Experiment, make_run: MakeRun, history: str
) -> None:
    run = make_run(experiment, tags={"mlflow.log-model.history": history})
    assert "Models" not in "".join(tabs(open_run(as_alice, run)))


def test_versions_that_were_registered_from_a_run_are_told(as_alice: Client, run: Run) -> None:
    make_version("churn", 3, run_id=run.pk)
    make_version("churn", 4, run_id=run.pk, current_stage="Deleted_Internal")
    read = page(as_alice.get(f"/runs/{run.pk}/registered/"))
    assert [(a.text, a["href"]) for a in read.all("a")] == [
        ("churn v3", "/models/churn/versions/3/")
    ]


@pytest.mark.parametrize("run_id", ["0" * 32, "x", "a b", "%2e%2e", "é", "x" * 500])
def test_a_run_that_is_not_there_is_404(as_alice: Client, run: Run, run_id: str) -> None:
    for page_of_run in (
        "",
        "artifacts/",
        "preview/",
        "download/",
        "register/",
        "registered/",
    ):
        assert as_alice.get(f"/runs/{run_id}/{page_of_run}").status_code == 404


@pytest.mark.parametrize("many", [1, 30])
def test_the_number_of_queries_does_not_grow(
    as_alice: Client,
    experiment: Experiment,
    run: Run,
    make_run: MakeRun,
    django_assert_num_queries: DjangoAssertNumQueries,
    many: int,
) -> None:
    for number in range(many):
        make_run(experiment, tags={"mlflow.parentRunId": run.pk}, metrics={"loss": 1.0})
        log_metric(run, f"metric {number}", [1.0])
        log_model(run, f"model {number}", number)
        make_version("churn", number + 1, run_id=run.pk)
    # session, user, run, tags, metrics, params, models, children, datasets, last write
    for tab in ("overview", "artifacts", "models", "children"):
        with django_assert_num_queries(10):
            open_run(as_alice, run, tab)
    with django_assert_num_queries(4):  # session, user, run, versions
        as_alice.get(f"/runs/{run.pk}/registered/")
