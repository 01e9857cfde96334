"""The Celery application: tasks live in each app's tasks.py, the timetable here."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent

from studio.lib.heartbeat import worker_is_here

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

app = Celery("studio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "reconcile-what-is-unfinished": {
        "task": "endpoints.tasks.sweep",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "tidy-environments": {
        "task": "endpoints.tasks.tidy_environments",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
}


@heartbeat_sent.connect
def _tell_of_life(**_: Any) -> None:
    worker_is_here()
