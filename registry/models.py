"""What is worth keeping, as MLflow keeps it. The tables are MLflow's: read here, written through MLflow.

Times are milliseconds since the epoch. tests/studio/mlflow/test_drift.py compares these models with MLflow's own.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models.expressions import Expression
from django.urls import reverse

from studio.accounts.models import User
from studio.accounts.permissions import WORKSPACE, Governed, GovernedQuerySet, mlflow_level
from tracking.models import moment

# MLflow keeps prompts in the same tables, told by a tag.
_PROMPT_TAG = "mlflow.prompt.is_prompt"


class RegisteredModelQuerySet(GovernedQuerySet["RegisteredModel"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return mlflow_level(user, "registered_model", "name")

    def without_prompts(self) -> RegisteredModelQuerySet:
        prompts = RegisteredModelTag.objects.filter(workspace=WORKSPACE, key=_PROMPT_TAG)
        return self.exclude(name__in=prompts.values("name"))


class RegisteredModel(Governed, models.Model):
    pk = models.CompositePrimaryKey("workspace", "name")
    workspace = models.CharField(max_length=63)
    name = models.CharField(max_length=256)
    creation_time = models.BigIntegerField(null=True)
    last_updated_time = models.BigIntegerField(null=True)
    description = models.CharField(max_length=5000, null=True)

    objects = RegisteredModelQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "registered_models"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("registry:model", args=[self.name])

    @property
    def updated_at(self) -> datetime | None:
        return moment(self.last_updated_time)


class RegisteredModelTag(models.Model):
    pk = models.CompositePrimaryKey("workspace", "key", "name")
    workspace = models.CharField(max_length=63)
    name = models.CharField(max_length=256)
    key = models.CharField(max_length=250)
    value = models.CharField(max_length=5000, null=True)

    class Meta:
        managed = False
        db_table = "registered_model_tags"


class RegisteredModelAlias(models.Model):
    pk = models.CompositePrimaryKey("workspace", "name", "alias")
    workspace = models.CharField(max_length=63)
    name = models.CharField(max_length=256)
    alias = models.CharField(max_length=256)
    version = models.IntegerField()

    class Meta:
        managed = False
        db_table = "registered_model_aliases"


class ModelVersionQuerySet(GovernedQuerySet["ModelVersion"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return mlflow_level(user, "registered_model", "name", part="registered_model_version")

    def kept(self) -> ModelVersionQuerySet:
        """Without those that MLflow marks as deleted: it keeps their rows."""
        return self.exclude(current_stage="Deleted_Internal")


class ModelVersion(Governed, models.Model):
    pk = models.CompositePrimaryKey("workspace", "name", "version")
    workspace = models.CharField(max_length=63)
    name = models.CharField(max_length=256)
    version = models.IntegerField()
    creation_time = models.BigIntegerField(null=True)
    last_updated_time = models.BigIntegerField(null=True)
    description = models.CharField(max_length=5000, null=True)
    user_id = models.CharField(max_length=256, null=True)
    current_stage = models.CharField(max_length=20, null=True)
    source = models.CharField(max_length=500, null=True)
    storage_location = models.CharField(max_length=500, null=True)
    run_id = models.CharField(max_length=32, null=True)
    run_link = models.CharField(max_length=500, null=True)
    status = models.CharField(max_length=20, null=True)
    status_message = models.CharField(max_length=500, null=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "model_versions"

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def get_absolute_url(self) -> str:
        return reverse("registry:version", args=[self.name, self.version])

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"

    @property
    def created_at(self) -> datetime | None:
        return moment(self.creation_time)


class ModelVersionTag(models.Model):
    pk = models.CompositePrimaryKey("workspace", "key", "name", "version")
    workspace = models.CharField(max_length=63)
    name = models.CharField(max_length=256)
    version = models.IntegerField()
    key = models.CharField(max_length=250)
    value = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = "model_version_tags"
