"""Celery is one more caller: each task is a few lines."""

from __future__ import annotations

from celery import shared_task

from studio.health import tidying


@shared_task(ignore_result=True)
def look_after() -> None:
    tidying.forget_old()
    tidying.measure()
