"""What was tried, as MLflow keeps it. The tables are MLflow's: read here, written through MLflow.

RunActivity, MetricSummary and StaleRun are Studio's own.

Times are milliseconds since the epoch, as in MLflow's schema. tests/studio/mlflow/test_drift.py compares
these models with MLflow's own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.expressions import Expression
from django.urls import reverse

from studio.accounts.models import User
from studio.accounts.permissions import Governed, GovernedQuerySet, mlflow_level

ACTIVE, DELETED = "active", "deleted"


def moment(milliseconds: int | None) -> datetime | None:
    """A time of MLflow's. None: there is none, or no calendar has it (any client may log any number)."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError):
        return None


class ExperimentQuerySet(GovernedQuerySet["Experiment"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return mlflow_level(user, "experiment", "pk")


class Experiment(Governed, models.Model):
    experiment_id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=256)
    workspace = models.CharField(max_length=63)
    artifact_location = models.CharField(max_length=256, null=True)
    lifecycle_stage = models.CharField(max_length=32, null=True)
    creation_time = models.BigIntegerField(null=True)
    last_update_time = models.BigIntegerField(null=True)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "experiments"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("tracking:experiment", args=[self.pk])

    @property
    def created_at(self) -> datetime | None:
        return moment(self.creation_time)


class ExperimentTag(models.Model):
    pk = models.CompositePrimaryKey("key", "experiment_id")
    key = models.CharField(max_length=250)
    value = models.TextField(null=True)
    experiment = models.ForeignKey(Experiment, models.DO_NOTHING, related_name="tags")

    class Meta:
        managed = False
        db_table = "experiment_tags"


class RunQuerySet(GovernedQuerySet["Run"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return mlflow_level(user, "experiment", "experiment_id", part="run")


class Run(Governed, models.Model):
    run_uuid = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=250, null=True)
    source_type = models.CharField(max_length=20, null=True)
    source_name = models.CharField(max_length=500, null=True)
    entry_point_name = models.CharField(max_length=50, null=True)
    user_id = models.CharField(max_length=256, null=True)
    status = models.CharField(max_length=9, null=True)
    start_time = models.BigIntegerField(null=True)
    end_time = models.BigIntegerField(null=True)
    deleted_time = models.BigIntegerField(null=True)
    source_version = models.CharField(max_length=50, null=True)
    lifecycle_stage = models.CharField(max_length=20, null=True)
    artifact_uri = models.CharField(max_length=200, null=True)
    experiment = models.ForeignKey(Experiment, models.DO_NOTHING, null=True, related_name="runs")

    objects = RunQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "runs"

    def __str__(self) -> str:
        return self.name or self.run_uuid

    def get_absolute_url(self) -> str:
        return reverse("tracking:run", args=[self.pk])

    @property
    def started_at(self) -> datetime | None:
        return moment(self.start_time)

    @property
    def seconds(self) -> float | None:
        """How long it took. None: it has not ended, or never said so."""
        if self.start_time is None or self.end_time is None:
            return None
        return (self.end_time - self.start_time) / 1000


class RunActivityQuerySet(QuerySet["RunActivity"]):
    def of_no_run(self) -> Self:
        """Those whose run is gone for good, as `mlflow gc` makes it."""
        return self.exclude(Exists(Run.objects.filter(pk=OuterRef("pk"))))


class RunActivity(models.Model):
    """When a run was last written to. Studio's own table (tracking.activity writes it), without a word to MLflow's."""

    QUIET = timedelta(
        minutes=15
    )  # without a write, after which a run that runs is told to be silent

    run_id = models.CharField(max_length=32, primary_key=True)
    last_write_at = models.DateTimeField()

    objects = RunActivityQuerySet.as_manager()


class Metric(models.Model):
    pk = models.CompositePrimaryKey("key", "timestamp", "step", "run_id", "value", "is_nan")
    key = models.CharField(max_length=250)
    value = models.FloatField()
    timestamp = models.BigIntegerField()
    step = models.BigIntegerField()
    is_nan = models.BooleanField()
    run = models.ForeignKey(Run, models.DO_NOTHING, db_column="run_uuid", related_name="metrics")

    class Meta:
        managed = False
        db_table = "metrics"


class LatestMetric(models.Model):
    pk = models.CompositePrimaryKey("key", "run_id")
    key = models.CharField(max_length=250)
    value = models.FloatField()
    timestamp = models.BigIntegerField(null=True)
    step = models.BigIntegerField()
    is_nan = models.BooleanField()
    run = models.ForeignKey(
        Run, models.DO_NOTHING, db_column="run_uuid", related_name="latest_metrics"
    )

    class Meta:
        managed = False
        db_table = "latest_metrics"

    @property
    def number(self) -> float:
        """The value as it was logged: MLflow stores NaN as 0 with a mark."""
        return float("nan") if self.is_nan else self.value


class MetricSummary(models.Model):
    """All points of a run's metric in numbers (tracking.summaries), right as long as no StaleRun names the run.

    Of equal values the first step counts. Minimum and maximum leave NaN out: where there is nothing else they are
    NULL. The first point is as MLflow stores it: NaN as 0 with a mark. A row goes with its run.
    """

    pk = models.CompositePrimaryKey("run_id", "key")
    run = models.ForeignKey(Run, models.DO_NOTHING, db_constraint=False, db_index=False)
    key = models.CharField(max_length=250)
    count = models.BigIntegerField()
    minimum = models.FloatField(null=True)
    minimum_step = models.BigIntegerField(null=True)
    maximum = models.FloatField(null=True)
    maximum_step = models.BigIntegerField(null=True)
    first = models.FloatField()
    first_step = models.BigIntegerField()
    first_is_nan = models.BooleanField()

    class Meta:
        indexes = [
            models.Index(fields=["key", "minimum"], name="metric_summary_by_minimum"),
            models.Index(fields=["key", "maximum"], name="metric_summary_by_maximum"),
        ]


class StaleRun(models.Model):
    """That a run has points which its summaries may lack. The trigger on `metrics` writes it, whoever wrote them.

    A run may have several: writers that wait for nobody cannot know of one another. `taken`: it is being summed up,
    and no writer relies on it any more. A row goes with its run.
    """

    run = models.ForeignKey(Run, models.DO_NOTHING, db_constraint=False, db_index=False)
    since = models.DateTimeField()
    taken = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["run"], name="stale_run_by_run")]


class Param(models.Model):
    pk = models.CompositePrimaryKey("key", "run_id")
    key = models.CharField(max_length=250)
    value = models.CharField(max_length=8000)
    run = models.ForeignKey(Run, models.DO_NOTHING, db_column="run_uuid", related_name="params")

    class Meta:
        managed = False
        db_table = "params"


class Tag(models.Model):
    pk = models.CompositePrimaryKey("key", "run_id")
    key = models.CharField(max_length=250)
    value = models.CharField(max_length=8000, null=True)
    run = models.ForeignKey(Run, models.DO_NOTHING, db_column="run_uuid", related_name="tags")

    class Meta:
        managed = False
        db_table = "tags"


class LoggedModelQuerySet(GovernedQuerySet["LoggedModel"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return mlflow_level(user, "experiment", "experiment_id", part="logged_model")


class LoggedModel(Governed, models.Model):
    model_id = models.CharField(max_length=36, primary_key=True)
    experiment = models.ForeignKey(Experiment, models.DO_NOTHING, related_name="logged_models")
    name = models.CharField(max_length=500)
    artifact_location = models.CharField(max_length=1000)
    creation_timestamp_ms = models.BigIntegerField()
    last_updated_timestamp_ms = models.BigIntegerField()
    status = models.IntegerField()
    lifecycle_stage = models.CharField(max_length=32, null=True)
    model_type = models.CharField(max_length=500, null=True)
    source_run_id = models.CharField(max_length=32, null=True)
    status_message = models.CharField(max_length=1000, null=True)

    objects = LoggedModelQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "logged_models"

    @property
    def created_at(self) -> datetime | None:
        return moment(self.creation_timestamp_ms)


class Dataset(models.Model):
    pk = models.CompositePrimaryKey("experiment_id", "name", "digest")
    dataset_uuid = models.CharField(max_length=36)
    experiment = models.ForeignKey(Experiment, models.DO_NOTHING, related_name="datasets")
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=36)
    dataset_source_type = models.CharField(max_length=36)
    dataset_source = models.TextField()
    dataset_schema = models.TextField(null=True)
    dataset_profile = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = "datasets"


class Input(models.Model):
    pk = models.CompositePrimaryKey(
        "source_type", "source_id", "destination_type", "destination_id"
    )
    input_uuid = models.CharField(max_length=36)
    source_type = models.CharField(max_length=36)
    source_id = models.CharField(max_length=36)
    destination_type = models.CharField(max_length=36)
    destination_id = models.CharField(max_length=36)
    step = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "inputs"


class InputTag(models.Model):
    pk = models.CompositePrimaryKey("input_uuid", "name")
    input_uuid = models.CharField(max_length=36)
    name = models.CharField(max_length=255)
    value = models.CharField(max_length=500)

    class Meta:
        managed = False
        db_table = "input_tags"
