from __future__ import annotations

from django.apps import AppConfig


class MlflowConfig(AppConfig):
    name = "studio.mlflow"
    label = "mlflow"
