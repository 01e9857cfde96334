"""The filter and order language, against MLflow's own store on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from studio.lib.database import sqlalchemy_url
from studio.lib.errors import Invalid
from studio.lib.sql import Sql
from tests.support import rows
from tests.tracking.search_cases import (
    ADMITTED,
    FILTERS,
    ORDERS,
    REFUSED,
    REFUSED_ORDERS,
    RUNS,
    UNREADABLE,
)
from tracking.models import Dataset, Experiment, Input, InputTag, Run, Tag
from tracking.parser import parse_order
from tracking.search import Search

Answer = tuple[str, list[str] | str]


@pytest.fixture(scope="module")
def experiment(django_db_setup: None, django_db_blocker: Any) -> Iterator[Experiment]:
    """Committed rows: MLflow's store reads them through a connection of its own."""
    with django_db_blocker.unblock():
        experiment, other = rows.make_experiment(), rows.make_experiment()
        for name, metrics, params, tags, given in RUNS:
            rows.make_run(experiment, name, metrics=metrics, params=params, tags=tags, **given)
        rows.make_run(other, "elsewhere", metrics={"loss": 0.5}, params={"depth": "8"})
        runs = {run.name or "": run for run in Run.objects.filter(experiment=experiment)}
        # The tag and the column may differ: old clients write only the one, renaming both.
        Tag.objects.filter(run=runs["zero"], key="mlflow.runName").update(value="renamed")
        Tag.objects.filter(run=runs["bare"], key="mlflow.runName").delete()
        Run.objects.filter(pk=runs["negative"].pk).update(name=None)
        _use(experiment, "wine", "d1", [(runs["plain"], "train"), (runs["zero"], "eval")])
        _use(experiment, "wine", "d2", [(runs["zero"], "train"), (runs["nan"], "")])
        _use(experiment, "Wine", "d3", [(runs["negative"], "")])
        yield experiment
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE experiments, runs, params, tags, metrics, latest_metrics,"
                " datasets, inputs, input_tags CASCADE"
            )


def _use(experiment: Experiment, name: str, digest: str, users: list[tuple[Run, str]]) -> None:
    """A dataset, and the runs that have used it, each with its context (or none)."""
    Dataset.objects.create(
        experiment=experiment, name=name, digest=digest, dataset_uuid=f"{name}-{digest}",
        dataset_source_type="local", dataset_source="{}",
    )  # fmt: skip
    for run, context in users:
        uuid = f"{name}-{digest}-{run.pk[:20]}"
        Input.objects.create(
            input_uuid=uuid, source_type="DATASET", source_id=f"{name}-{digest}",
            destination_type="RUN", destination_id=run.pk, step=0,
        )  # fmt: skip
        tag = "mlflow.data.context" if context else "another tag"
        InputTag.objects.create(input_uuid=uuid, name=tag, value=context or "train")


@pytest.fixture(scope="module")
def store(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        store = SqlAlchemyStore(
            sqlalchemy_url(connection.settings_dict), str(tmp_path_factory.mktemp("artifacts"))
        )
    yield store
    store.engine.dispose()


@pytest.fixture
def theirs(store: Any, experiment: Experiment, db: None) -> Callable[..., Answer]:
    """What MLflow answers: run ids in order, or its words of refusal."""

    def search(given: str, order: str, view: int = ViewType.ACTIVE_ONLY) -> Answer:
        orders = [order] if order else []
        try:
            found = store.search_runs([str(experiment.pk)], given, view, 1000, orders)
        except MlflowException as refused:
            return "refused", refused.message
        return "found", [run.info.run_id for run in found]

    return search


@pytest.fixture
def ours(experiment: Experiment, db: None) -> Callable[..., Answer]:
    def search(given: str, order: str, stage: str = "active") -> Answer:
        try:
            orders = [parse_order(order)] if order else []
            wanted = Search.read([experiment.pk], [stage], given, orders)
        except Invalid as refused:
            return "refused", refused.message
        found = page_of(wanted, 1000, 0)
        assert fetch(wanted.total) == [(len(found),)]
        pages = [page_of(wanted, 4, offset) for offset in range(0, len(found) + 1, 4)]
        assert [run_id for page in pages for run_id in page] == found
        return "found", found

    return search


def page_of(wanted: Search, most: int, offset: int) -> list[str]:
    return [run_id for (run_id,) in wanted.page("runs.run_uuid", fetch, most, offset)]


def fetch(statement: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize("given", FILTERS)
def test_a_filter_finds_what_mlflow_finds(
    ours: Callable[..., Answer], theirs: Callable[..., Answer], given: str
) -> None:
    expected = theirs(given, "")
    assert expected[0] == "found", expected[1]
    assert ours(given, "") == expected


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("given", ["", "attributes.status = 'FINISHED'"], ids=["all", "filtered"])
def test_an_order_is_that_of_mlflow(
    ours: Callable[..., Answer], theirs: Callable[..., Answer], given: str, order: str
) -> None:
    expected = theirs(given, order)
    assert len(expected[1]) > 5
    assert ours(given, order) == expected


@pytest.mark.parametrize("given", REFUSED)
def test_what_mlflow_refuses_is_refused_at_its_place_or_has_a_larger_meaning(
    ours: Callable[..., Answer], theirs: Callable[..., Answer], given: str
) -> None:
    assert theirs(given, "")[0] == "refused"
    state, told = ours(given, "")
    assert state == ("found" if given in ADMITTED else "refused")
    assert given in ADMITTED or "Invalid filter at character" in told


@pytest.mark.parametrize("order", REFUSED_ORDERS)
def test_an_order_that_mlflow_refuses_is_refused_in_its_words(
    ours: Callable[..., Answer], theirs: Callable[..., Answer], order: str
) -> None:
    expected = theirs("", order)
    assert expected[0] == "refused"
    assert ours("", order) == expected


@pytest.mark.parametrize(("given", "order", "told"), UNREADABLE)
def test_what_breaks_mlflow_is_refused(
    ours: Callable[..., Answer], given: str, order: str, told: str
) -> None:
    state, words = ours(given, order)
    assert state == "refused"
    assert told in words


@pytest.mark.parametrize("given", ["", "metrics.loss = 0.5"])
def test_deleted_runs_are_found_only_when_asked_for(
    ours: Callable[..., Answer], theirs: Callable[..., Answer], given: str
) -> None:
    found = ours(given, "", stage="deleted")
    assert found == theirs(given, "", ViewType.DELETED_ONLY)
    assert len(found[1]) == 1


def test_the_table_of_filters_tells_runs_apart(ours: Callable[..., Answer]) -> None:
    everything = len(ours("", "")[1])
    telling = [given for given in FILTERS if 0 < len(ours(given, "")[1]) < everything]
    assert len(telling) >= 60
