from __future__ import annotations

from django.apps import AppConfig


class LaunchConfig(AppConfig):
    name = "studio.launch"
    label = "launch"
