"""The default experiment is there before MLflow's store is first opened, as MLflow itself would make it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from studio.mlflow.serve import _make_default_experiment
from tests.support.databases import database, for_mlflow

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def opened(stores: None) -> Iterator[tuple[str, Rows]]:
    """A database that MLflow's store has been opened on, and the experiments that it has made."""
    with database() as url:
        SqlAlchemyStore(for_mlflow(url), "mlflow-artifacts:/")
        yield url, experiments(url)


@pytest.fixture
def url(opened: tuple[str, Rows]) -> str:
    """Of the database, without experiments."""
    url, _ = opened
    with psycopg.connect(url, autocommit=True) as wire:
        wire.execute("TRUNCATE experiments CASCADE")
    return url


def experiments(url: str) -> Rows:
    with psycopg.connect(url) as wire:
        return wire.execute(
            "SELECT experiment_id, name, artifact_location, lifecycle_stage, workspace FROM experiments"
        ).fetchall()


def test_it_is_the_one_that_mlflow_makes(url: str, opened: tuple[str, Rows]) -> None:
    _, by_mlflow = opened
    _make_default_experiment(url)
    assert experiments(url) == by_mlflow
    assert [row[0] for row in by_mlflow] == [0]


def test_where_there_are_others_it_is_not_made(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as wire:
        wire.execute("INSERT INTO experiments (experiment_id, name) VALUES (7, 'own')")
    _make_default_experiment(url)
    assert [row[0] for row in experiments(url)] == [7]
