from __future__ import annotations

from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "studio.health"
    label = "health"

    def ready(self) -> None:
        """Count the calls to MLflow's server: the lane itself knows nothing of who counts."""
        from studio.health.counters import WEB
        from studio.mlflow import upstream

        upstream.watchers.append(WEB.note_reference)
