"""The Celery application: tasks live in each app's tasks.py, the timetable here."""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    before_task_publish,
    heartbeat_sent,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_ready,
)
from redis import RedisError

from studio.lib import broker, heartbeat, request_ids
from studio.lib.start import read_settings

read_settings()
broker.survive_its_loss()
# In a task's message: whose request it goes back to, and when it was sent (seconds since the epoch).
REQUEST, SENT = "studio_request_id", "studio_sent"

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
    "measure-what-takes-long": {
        "task": "studio.health.tasks.look_after",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "sum-up-metrics": {
        "task": "tracking.tasks.sum_up_metrics",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "forget-runs-that-are-gone": {
        "task": "tracking.tasks.forget_gone",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
}


@heartbeat_sent.connect
def _tell_of_life(**_: Any) -> None:
    with suppress(RedisError):  # the worker tells by itself that the broker is lost
        heartbeat.worker_is_here()


@worker_ready.connect
def _worker_begins(**_: Any) -> None:
    heartbeat.start("worker")


@worker_process_init.connect
def _its_process_begins(**_: Any) -> None:
    """The errors of tasks are logged here, below the worker: a process that forks takes no thread along."""
    heartbeat.start("worker", own_row=False)


@beat_init.connect
def _beat_begins(**_: Any) -> None:
    heartbeat.start("beat")


@before_task_publish.connect
def _name_request(headers: dict[str, Any], **_: Any) -> None:
    headers[REQUEST] = request_ids.current()
    headers[SENT] = time()


@task_prerun.connect
def _go_on_for_request(task: Any, **_: Any) -> None:
    request_ids.go_on(task.request.get(REQUEST) or "")
    request_ids.tell_about(task.name)


@task_postrun.connect
def _done_with_request(**_: Any) -> None:
    request_ids.go_on("")
    request_ids.tell_about("")
