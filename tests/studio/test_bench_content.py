"""When the bench takes two answers about the registry for the same, and what it counts in one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench.content import content, looked_into
from tests.bench.sides import MLFLOW, Side

SIDE = Side(MLFLOW, ("127.0.0.1", 1), "", "")


def version(number: int, stage: str) -> dict[str, Any]:
    tags = [{"key": "validated", "value": "by 1"}, {"key": "dataset", "value": "2026-01"}]
    return {"name": "model-1", "version": str(number), "current_stage": stage, "tags": tags}


def models() -> dict[str, Any]:
    model = {
        "name": "model-1",
        "creation_timestamp": 7,
        "tags": [{"key": "team", "value": "a"}, {"key": "task", "value": "b"}],
        "aliases": [{"alias": "champion", "version": "20"}],
        "latest_versions": [version(20, "None"), version(19, "Staging")],
    }
    return {"registered_models": [model, {"name": "model-2", "creation_timestamp": 8}]}


def of(told: dict[str, Any]) -> Any:
    return content(json.dumps(told).encode())


def test_tags_and_aliases_are_counted_of_models_and_of_their_latest_versions() -> None:
    assert of(models()).values == 2 + 1 + 2 * 2
    assert of({"model_versions": [version(1, "None"), version(2, "None")]}).values == 4
    assert of({"model_version": version(1, "None") | {"aliases": ["champion"]}}).values == 3


def test_too_few_values_are_refused() -> None:
    with pytest.raises(RuntimeError, match="mlflow server, the page: 7 values of 8"):
        looked_into(SIDE, "the page", 8, json.dumps(models()).encode())


def test_parts_that_have_no_order_are_alike_in_any() -> None:
    other = models()
    (first, _) = other["registered_models"]
    for parts in (first["tags"], first["latest_versions"], first["latest_versions"][0]["tags"]):
        parts.reverse()
    first["latest_versions"][1] = dict(reversed(first["latest_versions"][1].items()))
    assert of(other) == of(models())


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ([0], "creation_timestamp", "7"),
        ([1], "description", ""),
        ([0, "latest_versions", 1], "version", "18"),
        ([0, "latest_versions", 0, "tags", 0], "value", "by 2"),
        ([0, "aliases", 0], "version", "19"),
    ],
)
def test_whatever_else_differs_is_other_content(
    place: list[int | str], name: str, value: str
) -> None:
    other = models()
    part = other["registered_models"]
    for step in place:
        part = part[step]
    part[name] = value
    assert of(other) != of(models())


def test_models_have_an_order() -> None:
    other = models()
    other["registered_models"].reverse()
    assert of(other) != of(models())
