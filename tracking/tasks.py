"""Celery is one more caller: each task is a few lines."""

from __future__ import annotations

from celery import shared_task

from tracking import summaries
from tracking.models import RunActivity


@shared_task(ignore_result=True)
def forget_gone() -> None:
    """Delete what is known of runs that are not there any more."""
    RunActivity.objects.of_no_run().delete()


@shared_task(ignore_result=True)
def sum_up_metrics() -> None:
    """Bring the summaries of runs up to date."""
    summaries.sum_up()
