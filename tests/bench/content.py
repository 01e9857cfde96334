"""What is in an answer, so that those of all sides are compared before any is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.sides import Side

_OF_REGISTRY = ("registered_models", "registered_model", "model_versions", "model_version")
_UNORDERED = ("tags", "aliases", "latest_versions")  # as MLflow's database gives them


@dataclass(frozen=True, slots=True)
class Content:
    """What all sides must answer alike: runs, points, models or versions in their order, with all that was put there.

    `values`: how many points, params, tags and aliases these have.
    """

    values: int
    items: list[object]


def looked_into(side: Side, what: str, values: int, answer: bytes) -> Content:
    """Raises RuntimeError where it has not so many values."""
    found = content(answer)
    if found.values != values:
        raise RuntimeError(f"{side.name}, {what}: {found.values} values of {values}")
    return found


def content(answer: bytes) -> Content:
    told = json.loads(answer)
    if "metrics" in told:
        points = [_point(metric) for metric in told["metrics"]]
        return Content(len(points), list(points))
    if named := told.keys() & _OF_REGISTRY:
        found = told[named.pop()]
        items = found if isinstance(found, list) else [found]
        return Content(sum(_values_of(item) for item in items), [_alike(item) for item in items])
    runs = [_run(run) for run in ([told["run"]] if "run" in told else told.get("runs", []))]
    return Content(sum(len(values) for *_, values in runs), list(runs))


def _run(run: Mapping[str, Any]) -> tuple[str, str, int, list[tuple[object, ...]]]:
    info, data = run["info"], run["data"]
    values = sorted(
        [
            *(("metric", *_point(metric)) for metric in data["metrics"]),
            *(("param", param["key"], param["value"]) for param in data["params"]),
            *(("tag", tag["key"], tag["value"]) for tag in data["tags"]),
        ]
    )
    return info["run_id"], info["run_name"], int(info["start_time"]), values


def _point(metric: Mapping[str, Any]) -> tuple[str, float, int, int]:
    return metric["key"], metric["value"], int(metric["timestamp"]), int(metric["step"])


def _values_of(item: Mapping[str, Any]) -> int:
    """Of a model with those of its latest versions, or of a version."""
    own = len(item.get("tags", [])) + len(item.get("aliases", []))
    return own + sum(_values_of(version) for version in item.get("latest_versions", []))


def _alike(item: Mapping[str, Any]) -> dict[str, Any]:
    """All that is told of a model or a version, the parts that come in any order in one."""
    lists = {name: [_part(part) for part in item[name]] for name in _UNORDERED if name in item}
    return {**item, **{name: sorted(parts, key=json.dumps) for name, parts in lists.items()}}


def _part(part: Any) -> Any:
    return dict(sorted(_alike(part).items())) if isinstance(part, dict) else part
