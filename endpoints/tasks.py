"""Celery is one more caller: each task is a few lines."""

from __future__ import annotations

from time import monotonic

from celery import shared_task

from endpoints import eviction, lifecycle
from endpoints.models import Deployment

# A message takes quick steps in a row, without a way through the broker for each; once that has taken as
# long as this, whatever else waits gets its turn.
_SPELL = 1.0  # seconds


@shared_task(ignore_result=True)
def reconcile(deployment_id: int) -> None:
    began = monotonic()
    while lifecycle.reconcile(deployment_id):
        if monotonic() - began > _SPELL:
            reconcile.delay(deployment_id)
            return


@shared_task(ignore_result=True)
def sweep() -> None:
    """Pick up what nobody works on: its worker died, or its message was lost."""
    for pk in Deployment.objects.unsettled().unleased().values_list("pk", flat=True):
        reconcile.delay(pk)


@shared_task(ignore_result=True)
def tidy_environments() -> None:
    eviction.tidy()
