from __future__ import annotations

from django.apps import AppConfig


class LaunchConfig(AppConfig):
    name = "studio.launch"
    label = "launch"

    def ready(self) -> None:
        """Make Studio's Celery the one that tasks are sent through, in every process that sets Django up."""
        import studio.celery  # noqa: F401 - its import is what counts
