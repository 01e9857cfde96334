"""How values stand in the table of runs and on a run's page, and the files of logged models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tests.support.pages import Element, Page, page
from tests.tracking.test_run_pages import log_model
from tracking.models import Experiment, Run

MakeRun = Callable[..., Run]


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment("vision")


def table(client: Client, experiment: Experiment, **query: str) -> Page:
    response = client.get(f"/experiments/{experiment.pk}/", query)
    assert response.status_code == 200
    return page(response)


def classes(element: Element) -> list[str]:
    return element.attributes.get("class", "").split()


def best(read: Page) -> list[str]:
    return [td.text for td in read.all("td") if "best" in classes(td)]


class TestBest:
    @pytest.fixture(autouse=True)
    def runs(self, experiment: Experiment, make_run: MakeRun) -> None:
        for loss in (0.5, 0.25, 0.9, 0.25):
            make_run(experiment, metrics={"loss": loss, "acc": 1 - loss})
        make_run(experiment, metrics={"loss": float("nan")})
        make_run(experiment)

    @pytest.mark.parametrize(
        ("order", "told"),
        [
            ("metrics.`loss` ASC", ["0.25", "0.25"]),
            ("metrics.`loss` DESC", ["0.9"]),
            ("metrics.`acc` DESC", ["0.75", "0.75"]),
            ("attributes.run_name ASC", []),
            ("", []),
        ],
    )
    def test_of_what_the_table_is_sorted_by_the_best_is_marked(
        self, as_alice: Client, experiment: Experiment, order: str, told: list[str]
    ) -> None:
        read = table(as_alice, experiment, order_by=order)
        assert best(read) == told
        marked = [th.text.strip() for th in read.all("th") if "sorted" in classes(th)]
        assert len(marked) == (1 if told else 0)

    def test_on_a_later_page_nothing_is_the_best(
        self, as_alice: Client, experiment: Experiment, make_run: MakeRun
    ) -> None:
        for number in range(60):
            make_run(experiment, metrics={"loss": 10 + number})
        query = {"order_by": "metrics.`loss` ASC", "filter": "metrics.loss > 1"}
        assert best(table(as_alice, experiment, **query)) == ["10"]
        assert best(table(as_alice, experiment, page="2", **query)) == []

    def test_where_no_number_was_logged_nothing_is_the_best(
        self, as_alice: Client, experiment: Experiment
    ) -> None:
        query = {"order_by": "metrics.`loss` ASC", "filter": "metrics.acc > 5"}
        assert best(table(as_alice, experiment, **query)) == []


def test_what_the_table_is_sorted_by_is_a_column_however_rare_it_is(
    as_alice: Client, experiment: Experiment, make_run: MakeRun
) -> None:
    for run in ({f"m{n}": n for n in range(9)}, {f"m{n}": n for n in range(9)}, {"rare": 1}):
        make_run(experiment, metrics=run)
    assert "rare" not in table(as_alice, experiment).texts("th")
    read = table(as_alice, experiment, order_by="metrics.`rare` ASC")
    assert "rare ↑" in read.texts("th")
    assert len([th for th in read.all("th") if "key" in classes(th)]) == 6
    assert "4 more metrics" in read.all("footer")[0].text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0.30000000000000004", "0.3"),
        ("-0.1499999999999999e-05", "-1.5e-06"),
        ("0.001", "0.001"),
        ("12345678901", "12345678901"),
        ("1700000000.1234567", "1700000000.1234567"),
        ("0.1.2.3.4.5.6.7", "0.1.2.3.4.5.6.7"),
        ("x" * 41, "x" * 39 + "…"),
        ("x" * 40, "x" * 40),
    ],
)
def test_a_param_is_short_in_the_table_and_whole_in_its_title(
    as_alice: Client, experiment: Experiment, make_run: MakeRun, value: str, told: str
) -> None:
    make_run(experiment, params={"p": value})
    (cell,) = (td for td in table(as_alice, experiment).all("td") if "value" in classes(td))
    assert cell.text == told
    assert cell.attributes.get("title") == (None if told == value else value)


class TestParams:
    def cell(self, client: Client, run: Run) -> Element:
        read = page(client.get(f"/runs/{run.pk}/"))
        return next(td for td in read.all("td") if "wrap" in classes(td))

    def test_a_long_one_is_folded_and_on_the_left(
        self, as_alice: Client, experiment: Experiment, make_run: MakeRun
    ) -> None:
        run = make_run(experiment, params={"text": "word " * 40})
        cell = self.cell(as_alice, run)
        assert "num" not in classes(cell)
        assert cell.text == "word " * 40
        read = page(as_alice.get(f"/runs/{run.pk}/"))
        (fold,) = (d for d in read.all("details") if d.attributes.get("class") == "clamp")
        assert "open" not in fold.attributes

    def test_a_short_one_is_not(
        self, as_alice: Client, experiment: Experiment, make_run: MakeRun
    ) -> None:
        cell = self.cell(as_alice, make_run(experiment, params={"depth": "8"}))
        assert "num" in classes(cell)


@pytest.mark.parametrize(
    "query", [{"filter": "metrics.loss <"}, {"filter": "hello"}, {"order_by": "dataset.name"}]
)
def test_a_refused_filter_comes_with_what_to_do_next(
    as_alice: Client, experiment: Experiment, query: dict[str, str]
) -> None:
    read = table(as_alice, experiment, **query)
    (alert,) = (each.text for each in read.all("div") if each.attributes.get("role") == "alert")
    assert "Comparisons are joined by AND, OR and NOT: metrics.loss < 0.3" in alert
    assert ".." not in alert
    assert read.link("Show all runs") == f"/experiments/{experiment.pk}/"


@pytest.mark.parametrize("path", ["", "?tab=artifacts", "register/"])
def test_the_pages_of_a_run_belong_to_the_experiments(
    as_alice: Client, experiment: Experiment, make_run: MakeRun, path: str
) -> None:
    read = page(as_alice.get(f"/runs/{make_run(experiment).pk}/{path}"))
    current = [a.text.strip() for a in read.all("a") if a.attributes.get("aria-current") == "page"]
    assert current[0] == "Experiments"


class TestFilesOfModels:
    @pytest.fixture
    def run(
        self, experiment: Experiment, make_run: MakeRun, settings: Settings, tmp_path: Path
    ) -> Run:
        settings.ARTIFACTS = tmp_path / "artifacts"
        run = make_run(experiment)
        log_model(run, "first", 1)
        folder = settings.ARTIFACTS / "models" / "m-1"
        (folder / "data").mkdir(parents=True)
        (folder / "MLmodel").write_text("flavors: {}")
        (folder / "data" / "a b.txt").write_text("deep")
        return run

    def folder(self, read: Page) -> str:
        (opener,) = (d["hx-get"] for d in read.all("details") if "hx-get" in d.attributes)
        return opener

    def test_they_are_browsed_like_the_runs_own(self, as_alice: Client, run: Run) -> None:
        tab = page(as_alice.get(f"/runs/{run.pk}/", {"tab": "models"}))
        top = page(as_alice.get(self.folder(tab)))
        (mlmodel,) = top.all("a")
        assert "flavors: {}" in as_alice.get(mlmodel["hx-get"]).content.decode()
        inside = page(as_alice.get(self.folder(top)))
        (file,) = inside.all("a")
        assert as_alice.get(file["href"]).getvalue() == b"deep"
        shown = page(as_alice.get(file["hx-get"]))
        assert "deep" in shown.texts("pre")[0]
        again = as_alice.get(shown.link("Download"))
        assert again.getvalue() == b"deep"

    def test_a_run_without_files_of_its_own_points_to_them(
        self, as_alice: Client, run: Run
    ) -> None:
        read = page(as_alice.get(f"/runs/{run.pk}/", {"tab": "artifacts"}))
        assert "No artifacts of its own" in read.texts("h2")
        assert read.link("Files of the model") == "?tab=models"

    @pytest.mark.parametrize("kind", ["artifacts", "preview", "download"])
    @pytest.mark.parametrize("model", ["m-" + "0" * 32, "..", "first", "x"])
    def test_only_of_models_that_the_run_has_logged(
        self, as_alice: Client, run: Run, kind: str, model: str
    ) -> None:
        query = {"model": model, "path": "MLmodel"}
        assert as_alice.get(f"/runs/{run.pk}/{kind}/", query).status_code == 404

    @pytest.mark.parametrize("address", ["file:///etc", "s3://bucket/x", "/etc"])
    def test_a_model_that_lies_elsewhere_is_named_and_never_opened(
        self, as_alice: Client, run: Run, address: str
    ) -> None:
        model = log_model(run, "second", 2, artifact_location=address)
        query = {"model": model.model_id}
        told: Any = as_alice.get(f"/runs/{run.pk}/artifacts/", query)
        assert "STUDIO_ARTIFACTS" in told.content.decode()
        for kind in ("preview", "download"):
            query["path"] = "passwd"
            assert as_alice.get(f"/runs/{run.pk}/{kind}/", query).status_code == 404

    def test_the_files_of_an_older_clients_model_are_there_too(
        self,
        as_alice: Client,
        experiment: Experiment,
        make_run: MakeRun,
        run: Run,
        settings: Settings,
    ) -> None:
        history = '[{"artifact_path": "model"}]'
        old = make_run(experiment, tags={"mlflow.log-model.history": history})
        place = (old.artifact_uri or "").removeprefix("mlflow-artifacts:/")
        folder = settings.ARTIFACTS / place / "model"
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text("old")
        tab = page(as_alice.get(f"/runs/{old.pk}/", {"tab": "models"}))
        (file,) = page(as_alice.get(self.folder(tab))).all("a")
        assert as_alice.get(file["href"]).getvalue() == b"old"
