from __future__ import annotations

from django.apps import AppConfig


class TrackingConfig(AppConfig):
    name = "tracking"

    def ready(self) -> None:
        from studio.mlflow.guards import TABLE
        from studio.mlflow.signals import run_written
        from tracking import activity, guards

        guards.register(TABLE)
        run_written.connect(activity.take_note)
