from __future__ import annotations

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"

    def ready(self) -> None:
        from registry import guards
        from studio.mlflow.guards import TABLE

        guards.register(TABLE)
