"""Celery is one more caller: each task is a few lines."""

from __future__ import annotations

from celery import shared_task

from tracking.models import RunActivity


@shared_task(ignore_result=True)
def forget_gone() -> None:
    """Delete what is known of runs that are not there any more."""
    RunActivity.objects.of_no_run().delete()
