"""What the bench puts into a database before it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests.bench.copying import Rows, copy_rows
from tests.bench.seeded_models import ALIAS, MODELS, VERSIONS, models
from tests.bench.seeded_runs import FASTTRACKMLS, MLFLOWS, Runs
from tests.bench.seeding import EXPERIMENTS, Seeded
from tests.bench.sides import MLFLOW, Side
from tests.support.databases import database, make_tracking

_TABLES = """
    CREATE TABLE parent (id int4 PRIMARY KEY, at int8, value float8, is_nan bool, told varchar(9), name text);
    CREATE TABLE child (id int4 REFERENCES parent)
"""
_ROW = (1, 2**40, 0.1 + 0.2, False, "ä\t\\N", None)
_COLUMNS = ["id", "at", "value", "is_nan", "told", "name"]


@pytest.fixture
def connection(stores: None) -> Iterator[psycopg.Connection]:
    with database() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)
        yield connection


@pytest.fixture
def side(stores: None) -> Iterator[Side]:
    """With MLflow's tables and the experiment 7."""
    with database() as url:
        make_tracking(url)
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO experiments (experiment_id, name, workspace) VALUES (7, 'bench', 'default')"
            )
        yield Side(MLFLOW, ("127.0.0.1", 1), url, "")


def test_rows_are_stored_as_they_are_made(connection: psycopg.Connection) -> None:
    copy_rows(connection, [Rows("parent", _COLUMNS, [_ROW]), Rows("child", ["id"], [(1,)])])
    assert connection.execute("SELECT * FROM parent").fetchall() == [_ROW]
    assert connection.execute("SELECT * FROM child").fetchall() == [(1,)]


def test_all_are_stored_or_none(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        copy_rows(connection, [Rows("parent", _COLUMNS, [_ROW]), Rows("child", ["id"], [(2,)])])
    assert connection.execute("SELECT * FROM parent").fetchall() == []


def test_a_run_is_put_there_once(side: Side) -> None:
    seeded = Seeded(side, dict.fromkeys(EXPERIMENTS, "7"))
    run = seeded.with_points(30)
    assert seeded.with_points(30) == run
    given: dict[str, object] = {"run": run}
    assert side.value("SELECT count(*) FROM metrics WHERE run_uuid = %(run)s", given) == 30
    latest = "SELECT array[step, value] FROM latest_metrics WHERE run_uuid = %(run)s"
    assert side.value(latest, given) == [29, 1 / (1 + 29**0.5)]


def test_fasttrackml_has_the_same_values_and_its_own_columns() -> None:
    of_mlflow = Runs(MLFLOWS, "some", 7, range(2)).with_points(3)
    of_fasttrackml = Runs(FASTTRACKMLS, "some", 7, range(2)).with_points(3)
    for one, other in zip(of_mlflow, of_fasttrackml, strict=True):
        width = len(one.columns)
        assert other.columns[:width] == one.columns
        assert len(other.columns) > width
        of_other = list(other.each)
        assert {len(row) for row in of_other} == {len(other.columns)}
        assert [row[:width] for row in of_other] == list(one.each)


def test_models_are_whole() -> None:
    tables = {rows.table: list(rows.each) for rows in models()}
    versions = tables["model_versions"]
    assert len(versions) == len({row[3] for row in versions}) == MODELS * VERSIONS  # no two at once
    keys = {row[1:3] for row in versions}
    assert {
        (name, version) for _, name, alias, version in tables["registered_model_aliases"]
    } < keys
    assert {row[2] for row in tables["registered_model_aliases"]} == {ALIAS}
    tagged = Counter(row[1:3] for row in tables["model_version_tags"])
    assert tagged.keys() == keys and set(tagged.values()) == {2}
