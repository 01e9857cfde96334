"""Traces in a file store, as the rows that MLflow's SQL store keeps of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from studio.importing import local
from studio.importing.report import Report
from studio.importing.sources import reading
from studio.importing.units import TRACE, Files, Item, Refused, Row, Unit

_INFO = "trace_info.yaml"
_NAME, _LOCATION = "mlflow.traceName", "mlflow.artifactLocation"


class _Store(Protocol):
    report: Report

    def files(self, folder: Path, address: str) -> Callable[[], Files]: ...


def of_folder(place: Path, experiment: str, store: _Store) -> Iterator[Item]:
    for folder in reading.folders(place, TRACE, store.report):
        yield Item(folder.name, lambda folder=folder: _trace(folder, experiment, store))  # type: ignore[misc]


def _trace(folder: Path, experiment: str, store: _Store) -> Unit:
    found = reading.meta(folder, _INFO)
    name = reading.identity(found.get("trace_id") or found.get("request_id"), folder.name)
    tags = dict(reading.values(folder / "tags", "trace tag", name, store.report))
    metadata = reading.values(folder / "request_metadata", "trace metadata", name, store.report)
    address = tags.get(_LOCATION, "")
    columns, rest = _promoted(dict(metadata))
    at = _at(found)
    row = {
        "request_id": name,
        "experiment_id": None,
        "timestamp_ms": at,
        "execution_time_ms": reading.whole(found, "execution_time_ms")
        or reading.whole(found, "execution_duration_ms"),
        "status": reading.text(found, "status") or reading.text(found, "state") or "OK",
        "client_request_id": reading.text(found, "client_request_id"),
        "request_preview": reading.text(found, "request_preview"),
        "response_preview": reading.text(found, "response_preview"),
        "trace_name": tags.pop(_NAME, None),
        **columns,
    }
    rows = {
        "trace_info": [row],
        "trace_tags": _pairs(name, tags),
        "trace_request_metadata": _pairs(name, rest),
        "assessments": list(_assessments(folder / "assessments", name, at, store.report)),
    }
    files = local.Late(store.files(folder, address))
    return Unit(TRACE, name, rows, experiment=experiment, files=files, address=address)


def _pairs(trace: str, values: dict[str, str]) -> list[Row]:
    return [{"request_id": trace, "key": key, "value": value} for key, value in values.items()]


def _promoted(metadata: dict[str, str]) -> tuple[Row, dict[str, str]]:
    """What MLflow keeps in columns of their own, by MLflow's own rule, and the metadata that is left."""
    # MLflow takes seconds to import: only a store with traces pays.
    from mlflow.store.tracking.utils import trace_analytics
    from mlflow.tracing.constant import TraceMetadataKey

    session = metadata.get(TraceMetadataKey.TRACE_SESSION)
    if session is not None:
        metadata[TraceMetadataKey.TRACE_SESSION] = session[:250]
    columns = trace_analytics.analytics_columns_from_metadata(metadata)
    own = trace_analytics.PROMOTED_TRACE_METADATA_KEYS
    return columns, {key: value for key, value in metadata.items() if key not in own}


def _at(found: Row) -> int:
    """When it was, in milliseconds. Older ones hold a number, newer ones a time in words."""
    for name in ("timestamp_ms", "request_time"):
        value = found.get(name)
        if isinstance(value, int):
            return value
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise Refused(f"{_INFO}: {name} is no time") from None
            return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    raise Refused(f"{_INFO}: it has no time")


def _assessments(folder: Path, trace: str, at: int, report: Report) -> Iterator[Row]:
    for name, path in reading.files(folder, "assessment", trace, report):
        if not name.endswith(".yaml"):
            continue
        try:
            yield _assessment(reading.meta(path.parent, path.name), path.stem, trace, at)
        except Refused as refused:
            report.left("assessment", f"{trace} {path.stem}", str(refused))


def _assessment(meta: Row, name: str, trace: str, at: int) -> Row:
    from mlflow.store.tracking.utils.trace_analytics import assessment_aggregate

    kind = next((kind for kind in ("feedback", "expectation") if meta.get(kind)), None)
    if kind is None or not isinstance(meta[kind], dict):
        raise Refused("it is neither feedback nor an expectation")
    value, error = meta[kind].get("value"), meta[kind].get("error")
    aggregate, numeric = assessment_aggregate(value)
    source = found if isinstance(found := meta.get("source"), dict) else {}
    return {
        "assessment_id": reading.text(meta, "assessment_id") or name,
        "trace_id": trace,
        "experiment_id": None,
        "trace_timestamp_ms": at,
        "name": reading.text(meta, "assessment_name") or reading.text(meta, "name") or "",
        "assessment_type": kind,
        "value": json.dumps(value, default=str),
        "error": _json(error),
        "created_timestamp": _milliseconds(meta, "create_time"),
        "last_updated_timestamp": _milliseconds(meta, "last_update_time"),
        "source_type": reading.text(source, "source_type") or "CODE",
        "source_id": reading.text(source, "source_id"),
        **{one: reading.text(meta, one) for one in ("span_id", "rationale", "overrides", "run_id")},
        "valid": meta.get("valid", True),
        "assessment_metadata": _json(meta.get("metadata")),
        "aggregate_value": aggregate,
        "is_numeric_value": numeric,
    }


def _milliseconds(meta: Row, name: str) -> int:
    value = meta.get(f"{name}_ms", meta.get(name, 0))
    return _at({"request_time": value}) if isinstance(value, str) else int(value or 0)


def _json(value: Any) -> str | None:
    return json.dumps(value, default=str) if value else None
