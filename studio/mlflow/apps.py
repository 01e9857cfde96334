from __future__ import annotations

from django.apps import AppConfig


class MlflowConfig(AppConfig):
    name = "studio.mlflow"
    label = "mlflow"

    def ready(self) -> None:
        from studio.mlflow import audit_guards, disclosure_guards, user_guards
        from studio.mlflow.guards import TABLE

        user_guards.register(TABLE)
        audit_guards.register(TABLE)
        disclosure_guards.register(TABLE)
