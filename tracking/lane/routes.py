"""How each of tracking's routes is read, and who may ask."""

from __future__ import annotations

from functools import partial

from mlflow.protos.service_pb2 import LogBatch, LogInputs, LogMetric

from studio.lane.routes import Route, Seek
from tracking.lane import changing, creating, experiments, inputs, runs
from tracking.lane.allowing import may_change_run, may_create_experiment, may_create_run
from tracking.lane.reading import experiments as read_experiments
from tracking.lane.reading import histories
from tracking.lane.reading import runs as read_runs

# By their names in LANE.writing.
READERS: dict[str, Route] = {
    "mlflow/experiments/create": Route(experiments.create, may_create_experiment),
    "mlflow/runs/create": Route(creating.create, may_create_run),
    "mlflow/runs/update": Route(changing.update, may_change_run),
    "mlflow/runs/log-metric": Route(runs.log_metric, partial(may_change_run, parsed=LogMetric)),
    "mlflow/runs/log-batch": Route(runs.log_batch, partial(may_change_run, parsed=LogBatch)),
    "mlflow/runs/log-parameter": Route(runs.log_param, may_change_run),
    "mlflow/runs/set-tag": Route(runs.set_tag, may_change_run),
    "mlflow/runs/delete-tag": Route(changing.delete_tag, may_change_run),
    "mlflow/runs/log-inputs": Route(inputs.log_inputs, partial(may_change_run, parsed=LogInputs)),
}

# By their names in LANE.reading.
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
