"""Making experiments and runs, changing runs, and what went into a run."""

from __future__ import annotations

import itertools
from typing import Any

from tests.differential.cases import (
    Story,
    alone,
    call,
    create_experiment,
    create_run,
    log_inputs,
    set_tag,
    update,
)

NAME = "mlflow.runName"


def tagged(**tags: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()]


LOCATIONS = (
    "runs:/x", "runs:x", "RUNS:/x", "file:///etc", "file:/etc", "file:///etc/../root", "/etc/passwd", "../x", "./x", "x/y",
    "s3://b/x", "s3://b/x?versionId=1", "s3://b/x#part", "s3://b/../x", "s3://b/x/", "gs://b/x", "s3:b", "mlflow-artifacts:/x",
    "mlflow-artifacts:/../x", "mlflow-artifacts://host/x", "http://127.0.0.1/x", "https://example.com/x", "models:/m/1",
    "dbfs:/x", "hdfs://h/x", "sftp://u:p@h/x", "ftp://u:p@h/x", "wasbs://c@a/x", "abfss://c@a/x", "x:/y", "://", ":", "C:\\x", "~", "~/x",
    "%2e%2e/x", "file:///a%20b", "s3://b/%2e%2e/x", "a b", "http://[", "s3://b/x;y=1", "s3://b/\u00e4", "data:text/plain,x", "jdbc:x",
    "file://host/share", "#x", "?x", "//host/x", "s3://b/" + "x" * 100, "s3://b/" + "x" * 249, "s3://b/" + "x" * 250,
)  # fmt: skip

EXPERIMENTS = [
    *(alone(create_experiment(artifact_location=location)) for location in LOCATIONS),
    Story("a name twice", (create_experiment(), create_experiment(), create_experiment(tags=tagged(a="1")))),
    Story("a name that is taken", (create_experiment(name="@mark@ own"),)),
    Story("the name of a deleted one", (create_experiment(name="@mark@ deleted"),)),
    Story("a name in other letters", (create_experiment(name="@mark@ OWN"), create_experiment(name="@mark@ own "))),
    Story("tags", (create_experiment(tags=tagged(a="1", b="", c=None)),)),
    Story("a tag twice", (create_experiment(tags=[*tagged(a="1"), *tagged(a="2")]),)),
    Story("a tag that is too long", (create_experiment(tags=tagged(a="x" * 20_001)), create_experiment(tags=tagged(a="x" * 20_000)))),
    Story("tags that MLflow looks into", (
        create_experiment(tags=tagged(mlflow__customViews="[]")),
        create_experiment(tags=tagged(mlflow__trace__archivalRetention="{}")),
        create_experiment(tags=tagged(mlflow__experiment__sourceType="x", mlflow__note__content="# x")),
    )),
    Story("a bad tag with a bad place", (create_experiment(artifact_location="s3://b/x?y", tags=tagged(**{"a//b": "1"})),)),
    Story("a bad name with a bad place", (create_experiment(name="@mark@" + "x" * 500, artifact_location="runs:/x"),)),
]  # fmt: skip

RUNS = [
    Story("nothing but the experiment", (create_run(),)),
    Story("two in a row", (create_run(run_name="a"), create_run(run_name="a"))),
    Story("a name as a tag", (create_run(tags=tagged(mlflow__runName="a")),)),
    Story("a name, also as a tag", (create_run(run_name="a", tags=tagged(mlflow__runName="a")),)),
    Story("another name as a tag", (create_run(run_name="a", tags=tagged(mlflow__runName="b")),)),
    Story("an empty name as a tag", (create_run(run_name="a", tags=tagged(mlflow__runName="")), create_run(tags=tagged(mlflow__runName="")))),
    Story("two names as tags", (create_run(tags=[*tagged(mlflow__runName="a"), *tagged(mlflow__runName="b")]),)),
    Story("the same name twice as tags", (create_run(tags=[*tagged(mlflow__runName="a"), *tagged(mlflow__runName="a")]),)),
    Story("a tag twice", (create_run(tags=[*tagged(a="1"), *tagged(a="2")]),)),
    Story("a tag twice the same", (create_run(tags=[*tagged(a="1"), *tagged(a="1")]),)),
    Story("a tag without a value", (create_run(tags=[{"key": "a"}, {"key": "b", "value": None}]),)),
    Story("a tag without a key", (create_run(tags=[{"value": "a"}]),)),
    Story("many tags", (create_run(tags=[{"key": f"k{n}", "value": str(n)} for n in range(200)]),)),
    Story("a user", (create_run(user_id="somebody", tags=tagged(mlflow__user="another")),)),
    Story("times", (create_run(start_time=1), create_run(start_time=-1), create_run(start_time=2**62), create_run(start_time="5"))),
    Story("its end", (create_run(end_time=1, status="FINISHED", lifecycle_stage="deleted"),)),
    Story("a name that is too long", (create_run(run_name="x" * 250), create_run(run_name="x" * 251))),
    Story("a child", (create_run(tags=tagged(mlflow__parentRunId="@run@")),)),
    Story("in a deleted experiment", (create_run(experiment_id="@deleted_experiment@"),)),
    Story("in an unknown experiment", (create_run(experiment_id="1899999999"), create_run(experiment_id="2147483648"), create_run(experiment_id="-1"))),
    Story("an experiment spelt otherwise", (create_run(experiment_id=" @experiment@"), create_run(experiment_id="0@experiment@"), create_run(experiment_id="+@experiment@"), create_run(experiment_id="@experiment@.0"), create_run(experiment_id="\u0661"), create_run(experiment_id="1_9"))),
]  # fmt: skip

_STATUSES: tuple[dict[str, Any], ...] = ({}, {"status": None}, {"status": "FAILED"})
_ENDS: tuple[dict[str, Any], ...] = ({}, {"end_time": None}, {"end_time": 0}, {"end_time": 99})
_NAMES: tuple[dict[str, Any], ...] = ({}, {"run_name": None}, {"run_name": ""}, {"run_name": "new"})
UPDATES = [
    *(alone(update(**a, **b, **c)) for a, b, c in itertools.product(_STATUSES, _ENDS, _NAMES)),
    *(alone(update(status=status)) for status in ("RUNNING", "SCHEDULED", "FINISHED", "KILLED", "finished", "UNKNOWN", 1, 2, 4, 5, 6, 0, -1, "1", "5", "6")),
    Story("end and begin again", (update(status="FINISHED", end_time=5), update(status="RUNNING"), update(end_time=7))),
    Story("named twice", (update(run_name="a"), update(run_name="b"), set_tag(NAME, "c"), update(run_name="d"))),
    Story("a deleted run", (update(run_id="@deleted_run@", status="FINISHED"),)),
    Story("a run of a deleted experiment", (update(run_id="@stranded_run@", status="FINISHED"),)),
    Story("an unknown run", (update(run_id="f" * 32, status="FINISHED"),)),
    Story("by its old name", (update(run_id=None, run_uuid="@run@", run_name="a"), update(run_id="", run_uuid="@run@", run_name="a"))),
    Story("two runs", (update(run_uuid="@foreign_run@", run_name="a"),)),
    Story("by camelCase", (call("runs/update", runId="@run@", status="FINISHED"), call("runs/update", runUuid="@run@", status="FINISHED"), update(endTime=5, runName="camel"))),
]  # fmt: skip


def dataset(name: str = "d", digest: str = "1", **more: Any) -> dict[str, Any]:
    return {"name": name, "digest": digest, "source_type": "local", "source": "{}"} | more


def used(*tags: str, **given: Any) -> dict[str, Any]:
    return {
        "dataset": dataset(**given),
        "tags": [{"key": tag, "value": tag.upper()} for tag in tags],
    }


INPUTS = [
    Story("a dataset", (log_inputs(datasets=[used()]), log_inputs(datasets=[used()]))),
    Story("a dataset with tags", (log_inputs(datasets=[used("a", "b")]), log_inputs(datasets=[used("a", "c")]))),
    Story("a dataset without tags, then with", (log_inputs(datasets=[used()]), log_inputs(datasets=[used("a")]))),
    Story("a dataset twice at once", (log_inputs(datasets=[used("a"), used("b")]),)),
    Story("a tag twice", (log_inputs(datasets=[used("a", "a")]),)),
    Story("two datasets", (log_inputs(datasets=[used("a"), used("b", digest="2")]), log_inputs(datasets=[used("c", digest="2"), used("d", name="e")]))),
    Story("a dataset with another source", (log_inputs(datasets=[used()]), log_inputs(datasets=[used(source="other", schema="s", profile="p")]))),
    Story("a dataset that another run used", (log_inputs(run_id="@foreign_run@", datasets=[used()]), log_inputs(datasets=[used()]))),
    Story("models", (log_inputs(models=[{"model_id": "@model@"}]), log_inputs(models=[{"model_id": "@model@"}]))),
    Story("a model twice at once", (log_inputs(models=[{"model_id": "@model@"}, {"model_id": "@model@"}]),)),
    Story("a foreign model", (log_inputs(models=[{"model_id": "@foreign_model@"}, {"model_id": "@model@"}]),)),
    Story("an unknown model", (log_inputs(models=[{"model_id": "m-" + "0" * 32}]),)),
    Story("a model without an id", (log_inputs(models=[{}]), log_inputs(models=[{"model_id": ""}]))),
    Story("datasets and models", (log_inputs(datasets=[used("a")], models=[{"model_id": "@model@"}]),)),
    Story("nothing", (log_inputs(), log_inputs(datasets=[], models=[]), log_inputs(datasets=None))),
    Story("no dataset in it", (log_inputs(datasets=[{"tags": [{"key": "a", "value": "b"}]}]), log_inputs(datasets=[{}]))),
    Story("empty fields", (log_inputs(datasets=[{"dataset": {}}]), log_inputs(datasets=[{"dataset": {"name": "d"}}]))),
    Story("empty schema and profile", (log_inputs(datasets=[used(schema="", profile="")]),)),
    Story("large fields", (log_inputs(datasets=[used(source="x" * 65_535, schema="x" * 100_000, profile="x" * 100_000)]),)),
    Story("many datasets", (log_inputs(datasets=[used("a", digest=str(n)) for n in range(100)]),)),
    Story("a deleted run", (log_inputs(run_id="@deleted_run@", datasets=[used()]),)),
    Story("a run of a deleted experiment", (log_inputs(run_id="@stranded_run@", datasets=[used()]),)),
    Story("an unknown run", (log_inputs(run_id="f" * 32, datasets=[used()]),)),
    Story("a bad dataset on an unknown run", (log_inputs(run_id="f" * 32, datasets=[used(name="x" * 501)]),)),
    Story("a bad dataset after a good one", (log_inputs(datasets=[used(), used(name="x" * 501)]),)),
    Story("a bad model with a good dataset", (log_inputs(datasets=[used()], models=[{"model_id": "x" * 37}]),)),
    Story("by the run's old name", (log_inputs(run_id=None, run_uuid="@run@", datasets=[used()]),)),
]  # fmt: skip
