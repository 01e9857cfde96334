"""Routes that write to a run: metrics, params, tags, one by one or in a batch. Each reads what is to be written."""

from __future__ import annotations

from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.protos.service_pb2 import LogBatch, LogMetric, LogParam, SetTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from mlflow.utils.validation import (
    _validate_batch_log_data,
    _validate_batch_log_limits,
    _validate_metric,
    _validate_param,
    _validate_param_keys_unique,
    _validate_run_id,
    _validate_tag,
)

from studio.lane.asking import Asker, Done
from studio.lane.messages import (
    Body,
    Checks,
    each_has,
    fields_of,
    is_list,
    is_number,
    is_present,
    is_text,
    is_whole,
    message_of,
    quickly,
)
from tracking.lane import modelled, points
from tracking.lane.writing import Clash, Written

_NAMED: Checks = {"run_id": [is_present, is_text], "key": [is_present, is_text]}
_METRIC: Checks = {
    **_NAMED,
    "value": [is_present, is_number],
    "timestamp": [is_whole, is_present],
    "step": [is_whole],
    "model_id": [is_text],
    "dataset_name": [is_text],
    "dataset_digest": [is_text],
}
# Characters: the column's.
_LONGEST_NAME = 250
_VALUED: Checks = {**_NAMED, "value": [is_text]}
_BATCH: Checks = {
    "run_id": [is_text, is_present],
    "metrics": [is_list, each_has("key", "value", "timestamp")],
    "params": [is_list, each_has("key")],
    "tags": [is_list, each_has("key")],
}


def log_metric(body: Body) -> Written:
    if given := quickly(body):
        run_id = given.pop("run_id", None)
        is_named = type(run_id) is str and run_id and given.pop("run_uuid", run_id) == run_id
        if is_named and (seen := points.quick([given])):
            return Written(run_id, seen)
    message = message_of(LogMetric, fields_of(body), _METRIC)
    metric = _metric(message)
    _validate_metric(metric.key, metric.value, metric.timestamp, metric.step)
    return _with_metrics(Written(message.run_id or message.run_uuid), [metric])


def log_batch(body: Body) -> Written:
    if (given := quickly(body)) and (seen := _quick_batch(given)):
        return seen
    message = message_of(LogBatch, fields_of(body), _BATCH)
    _validate_run_id(message.run_id)
    metrics, params, tags = _validate_batch_log_data(
        [_metric(metric) for metric in message.metrics],
        [Param(param.key, param.value) for param in message.params],
        [RunTag(tag.key, tag.value) for tag in message.tags],
    )
    _validate_batch_log_limits(metrics, params, tags)
    _validate_param_keys_unique(params)
    written = Written(
        message.run_id, params={param.key: param.value for param in params}, tags=_tags(tags)
    )
    return _with_metrics(written, metrics)


def log_param(body: Body) -> SingleParam:
    message = message_of(LogParam, fields_of(body), _VALUED)
    param = _validate_param(message.key, message.value)
    return SingleParam(message.run_id or message.run_uuid, params={param.key: param.value})


def set_tag(body: Body) -> Written:
    message = message_of(SetTag, fields_of(body), _VALUED)
    tag = _validate_tag(message.key, message.value)
    return Written(message.run_id or message.run_uuid, tags=_tags([tag]))


class SingleParam(Written):
    """One param, whose change MLflow refuses in other words than a batch's."""

    def write(self, asker: Asker) -> Done:
        try:
            return super().write(asker)
        except Clash as clash:
            [(key, old, new)] = clash.told
            told = (
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{old}' for run ID='{self.run_id}'. Attempted logging new value '{new}'."
            )
            raise MlflowException(told, INVALID_PARAMETER_VALUE) from None


def _quick_batch(given: dict[str, Any]) -> Written | None:
    """The batch, where everything in it is as clients send it and MLflow would take it. None: look closer."""
    run_id, metrics = given.pop("run_id", None), given.pop("metrics", [])
    params, tags = (
        _quick_pairs(given.pop("params", []), 6000),
        _quick_pairs(given.pop("tags", []), 8000),
    )
    seen = points.NONE if metrics == [] else points.quick(metrics)
    if (
        given
        or type(run_id) is not str
        or not run_id
        or params is None
        or tags is None
        or seen is None
    ):
        return None
    named, described = dict(params), _tags([RunTag(*tag) for tag in tags])
    _validate_run_id(run_id)
    _validate_batch_log_limits(seen.keys, params, tags)
    return Written(run_id, seen, named, described) if len(named) == len(params) else None


def _quick_pairs(items: Any, longest: int) -> list[tuple[str, str]] | None:
    """Keys and values of params or tags that need no second look."""
    try:
        pairs = [(item["key"], item["value"]) for item in items if len(item) == 2]
    except (KeyError, TypeError):
        return None
    are_texts = {str}.issuperset(type(text) for pair in pairs for text in pair)
    if type(items) is not list or len(pairs) != len(items) or not are_texts:
        return None
    fit = all(points.is_name(key) and len(value) <= longest for key, value in pairs)
    return pairs if fit else None


def _tags(tags: list[RunTag]) -> dict[str, str]:
    """The last of each key. An empty run's name is none, and leaves it as it is.

    MLflow stores one name after the other: one that is too long is refused, also where it would not stay.
    """
    told = {tag.key: tag.value for tag in tags if tag.key != MLFLOW_RUN_NAME}
    names = [tag.value for tag in tags if tag.key == MLFLOW_RUN_NAME and tag.value]
    too_long = [name for name in names if len(name) > _LONGEST_NAME]
    return told | ({MLFLOW_RUN_NAME: (too_long or names)[-1]} if names else {})


def _metric(message: Any) -> Metric:
    return Metric(
        message.key,
        message.value,
        message.timestamp,
        message.step,
        message.model_id or None,
        message.dataset_name or None,
        message.dataset_digest or None,
        message.run_id or None,
    )


def _with_metrics(written: Written, metrics: list[Metric]) -> Written:
    written.points = points.of_metrics(metrics)
    written.model_points = modelled.of_metrics(metrics)
    return written
