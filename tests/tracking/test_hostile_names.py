"""Whatever people and programs name their things, a page shows it as text."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import Settings

from tests.support.pages import Page, page
from tests.support.rows import log_metric
from tracking.models import Dataset, Experiment, ExperimentTag, Input, LoggedModel, Run

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></pre></code><b>x",
    "<!-- ",
    "{{ settings.SECRET_KEY }}{% debug %}",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;",
    "a/b c?d=e&f#g%20%00;h+i",
    "\\\\server\\share",
    "größe ✓ \u202egnp.exe",
    "`;DROP TABLE runs;--",
    "%s %(x)s {0} $1",
    " ",
]


@pytest.fixture
def make_world(
    make_experiment: Callable[..., Experiment], make_run: Callable[..., Run], settings: Settings
) -> Callable[[str], Run]:
    """A run with its surroundings, where everything that can have a name has this one."""

    def make(name: str) -> Run:
        experiment = make_experiment(name)
        ExperimentTag.objects.create(experiment=experiment, key=name, value=name)
        system = ("note.content", "source.name", "source.git.commit", "user")
        tags = {name: name} | {f"mlflow.{key}": name for key in system}
        run = make_run(
            experiment, name, params={name: name}, tags=tags,
            user_id=name, artifact_uri=f"s3://{name}",
        )  # fmt: skip
        log_metric(run, name, [1.0, 2.0])
        make_run(experiment, name, tags={"mlflow.parentRunId": run.pk}, params={name: name})
        Dataset.objects.create(
            experiment=experiment, name=name, digest=name[:36], dataset_uuid=run.pk,
            dataset_source_type="local", dataset_source="{}",
        )  # fmt: skip
        Input.objects.create(
            input_uuid=run.pk, source_type="DATASET", source_id=run.pk,
            destination_type="RUN", destination_id=run.pk, step=0,
        )  # fmt: skip
        LoggedModel.objects.create(
            experiment=experiment, name=name, model_id=f"m-{run.pk}", artifact_location=name,
            creation_timestamp_ms=1, last_updated_timestamp_ms=1, status=2,
            lifecycle_stage="active", source_run_id=run.pk,
        )  # fmt: skip
        return run

    return make


def pages_of(client: Client, run: Run) -> dict[str, Page]:
    addresses = {
        "home": "/",
        "experiments": f"/experiments/?search={run.experiment_id}",
        "found": "/experiments/",
        "experiment": f"/experiments/{run.experiment_id}/",
        "overview": f"/runs/{run.pk}/",
        "artifacts": f"/runs/{run.pk}/?tab=artifacts",
        "models": f"/runs/{run.pk}/?tab=models",
        "children": f"/runs/{run.pk}/?tab=children",
        "register": f"/runs/{run.pk}/register/",
    }
    return {place: page(client.get(address)) for place, address in addresses.items()}


def structure(read: Page) -> list[tuple[str, list[str]]]:
    return [(element.tag, sorted(element.attributes)) for element in read.elements]


def delete_all() -> None:
    for model in (Input, Dataset, LoggedModel, ExperimentTag):
        model.objects.all().delete()
    for run in Run.objects.all():
        for related in (run.tags, run.params, run.metrics, run.latest_metrics):
            related.all().delete()
    Run.objects.all().delete()
    Experiment.objects.all().delete()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_nothing_but_text(
    as_alice: Client, make_world: Callable[[str], Run], name: str
) -> None:
    usual = {place: structure(read) for place, read in pages_of(as_alice, make_world("x")).items()}
    delete_all()
    pages = pages_of(as_alice, make_world(name))
    for place, read in pages.items():
        assert structure(read) == usual[place], place
        if name.strip():
            assert place == "experiments" or any(name in e.text for e in read.elements), place
    for read in pages.values():
        assert not [a for a in read.all("a") if a["href"].lower().startswith("javascript")]


@pytest.mark.parametrize("name", HOSTILE)
def test_links_of_hostile_names_lead_to_their_things(
    as_alice: Client, make_world: Callable[[str], Run], name: str
) -> None:
    run = make_world(name)
    read = page(as_alice.get(f"/runs/{run.pk}/"))
    (about,) = [script.text for script in read.all("script") if script.attributes.get("id")]
    told = json.loads(about)
    assert (told["runs"][0]["name"], told["keys"]) == (name, [name])
    models = page(as_alice.get(f"/runs/{run.pk}/?tab=models"))
    (link,) = [a["href"] for a in models.all("a") if "?model=" in a["href"]]
    form = page(as_alice.get(link))
    chosen = [option for option in form.all("option") if "selected" in option.attributes]
    assert [option["value"] for option in chosen] == [f"m-{run.pk}"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_search_is_shown_as_it_was_asked(as_alice: Client, text: str) -> None:
    for path, name in (("/experiments/", "search"), ("/models/", "search"), ("/find/", "text")):
        response = as_alice.get(path, {name: text})
        assert response.status_code == 200
        read = page(response)
        assert len(read.all("script")) <= 2
        assert not read.all("b")[1:]
        assert not [e for e in read.elements if any(key.startswith("on") for key in e.attributes)]
        if text.strip() and path != "/find/":
            (box,) = [field for field in read.all("input") if field["name"] == name]
            assert box["value"] == text.strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_filter_is_shown_as_it_was_asked(
    as_alice: Client, make_world: Callable[[str], Run], text: str
) -> None:
    run = make_world("x")
    query = {"filter": text, "order_by": text, "state": text, "page": text}
    response = as_alice.get(f"/experiments/{run.experiment_id}/", query)
    assert response.status_code == 200
    read = page(response)
    shown = {box["name"]: box["value"] for box in read.all("input") if "value" in box.attributes}
    assert shown["filter"] == shown.get("order_by", text.strip()) == text.strip()
    assert not read.all("img")
    assert not [e for e in read.elements if any(key.startswith("on") for key in e.attributes)]
