"""Which routes the lane answers, how each is read, and who may ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from mlflow.protos.service_pb2 import LogBatch, LogInputs, LogMetric

from tracking.lane import changing, creating, experiments, inputs, runs
from tracking.lane.allowing import may_change_run, may_create_experiment, may_create_run
from tracking.lane.asking import Asker, Done
from tracking.lane.messages import Body
from tracking.lane.reading import experiments as read_experiments
from tracking.lane.reading import histories
from tracking.lane.reading import runs as read_runs
from tracking.lane.reading.asked import Asked


class Work(Protocol):
    """Something that was read, and can be done."""

    def write(self, asker: Asker) -> Done:
        """Store it for good. Raises Stranger, Denied, MlflowException and psycopg.Error: then nothing was stored."""


class Route(NamedTuple):
    """`check` asks who may where a body cannot be stored: who may not is told that, and not what is wrong with it.

    It raises Denied, Stranger, or MlflowException where MLflow's own rules find something wrong before.
    """

    read: Callable[[Body], Work]
    check: Callable[[Asker, Body], None] = may_change_run


# By their names in tracking.lane.ROUTES.
READERS = {
    "mlflow/experiments/create": Route(experiments.create, may_create_experiment),
    "mlflow/runs/create": Route(creating.create, may_create_run),
    "mlflow/runs/update": Route(changing.update),
    "mlflow/runs/log-metric": Route(runs.log_metric, partial(may_change_run, parsed=LogMetric)),
    "mlflow/runs/log-batch": Route(runs.log_batch, partial(may_change_run, parsed=LogBatch)),
    "mlflow/runs/log-parameter": Route(runs.log_param),
    "mlflow/runs/set-tag": Route(runs.set_tag),
    "mlflow/runs/delete-tag": Route(changing.delete_tag),
    "mlflow/runs/log-inputs": Route(inputs.log_inputs, partial(may_change_run, parsed=LogInputs)),
}


class Question(Protocol):
    """Something that was asked for, and can be looked up."""

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""


# Reads what is asked for. Raises Elsewhere.
Seek = Callable[[Asked], Question]
# By their names in tracking.lane.READING.
SEEKERS: dict[str, Seek] = {
    "mlflow/experiments/get": read_experiments.get,
    "mlflow/experiments/get-by-name": read_experiments.get_by_name,
    "mlflow/experiments/search": read_experiments.search,
    "mlflow/runs/get": read_runs.get,
    "mlflow/runs/search": read_runs.search,
    "mlflow/metrics/get-history": histories.history,
    "mlflow/metrics/get-history-bulk": histories.bulk,
    "mlflow/metrics/get-history-bulk-interval": histories.interval,
}
