"""Studio's unmanaged models against what MLflow says of its tables, and against the tables as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.db import connection, models
from mlflow.server.auth.db.models import Base as AuthBase
from mlflow.store.model_registry.dbmodels import models as registry_tables
from mlflow.store.tracking.dbmodels import models as tracking_tables

from tracking.models import Run

UNMANAGED = [model for model in apps.get_models() if not model._meta.managed]
# MLflow declares String(20), and its revisions made varchar(9): what is live is what counts.
DECLARED_OTHERWISE = {("runs", "status"): "varchar(20)"}


class Column(NamedTuple):
    type: str
    nullable: bool


def columns_of_django(model: type[models.Model]) -> dict[str, Column]:
    kinds = {"serial": "integer", "bigserial": "bigint"}
    columns = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.CompositePrimaryKey):
            continue
        told = str(
            field.rel_db_type(connection) if field.is_relation else field.db_type(connection)
        )
        columns[str(field.column)] = Column(kinds.get(told, told), field.null)
    return columns


def primary_key_of_django(model: type[models.Model]) -> set[str]:
    return {str(field.column) for field in model._meta.pk_fields}


def columns_of_mlflow(table: Any) -> dict[str, Column]:
    kinds = {
        "INTEGER": "integer",
        "BIGINT": "bigint",
        "TEXT": "text",
        "BOOLEAN": "boolean",
        "FLOAT": "double precision",
    }
    columns = {}
    for column in table.columns:
        told = str(column.type.as_generic()).replace("VARCHAR", "varchar")
        columns[column.name] = Column(kinds.get(told, told), column.nullable)
    return columns


def mlflow_table(name: str) -> Any:
    assert registry_tables.Base is tracking_tables.Base
    for base in (tracking_tables.Base, AuthBase):
        if name in base.metadata.tables:
            return base.metadata.tables[name]
    raise AssertionError(f"MLflow has no table {name}")


def columns_alive(table: str) -> dict[str, Column]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, character_maximum_length, is_nullable"
            " FROM information_schema.columns WHERE table_name = %s",
            [table],
        )
        rows = cursor.fetchall()
    return {
        name: Column(f"varchar({length})" if length else kind, nullable == "YES")
        for name, kind, length, nullable in rows
    }


def primary_key_alive(table: str) -> set[str]:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    (columns,) = [found["columns"] for found in constraints.values() if found["primary_key"]]
    return set(columns)


def test_every_table_of_mlflow_that_studio_reads_is_compared() -> None:
    tables = {model._meta.db_table for model in UNMANAGED}
    assert {"experiments", "runs", "latest_metrics", "registered_models", "users"} <= tables
    assert {model._meta.app_label for model in UNMANAGED} == {"tracking", "registry", "accounts"}


@pytest.mark.django_db
@pytest.mark.parametrize("model", UNMANAGED, ids=lambda model: model._meta.db_table)
def test_a_model_is_what_mlflow_declares(model: type[models.Model]) -> None:
    table = mlflow_table(model._meta.db_table)
    declared = columns_of_mlflow(table)
    for (name, column), told in DECLARED_OTHERWISE.items():
        if name == table.name:
            assert declared[column].type == told
            declared[column] = declared[column]._replace(type=columns_alive(name)[column].type)
    assert columns_of_django(model) == declared
    assert primary_key_of_django(model) == {column.name for column in table.primary_key}


@pytest.mark.django_db
@pytest.mark.parametrize("model", UNMANAGED, ids=lambda model: model._meta.db_table)
def test_a_model_is_what_is_in_the_database(model: type[models.Model]) -> None:
    table = model._meta.db_table
    assert columns_of_django(model) == columns_alive(table)
    assert primary_key_of_django(model) == primary_key_alive(table)


@pytest.mark.django_db
def test_a_difference_would_be_seen() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE runs ADD COLUMN added text")
    assert columns_of_django(Run) != columns_alive("runs")
