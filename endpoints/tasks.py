"""Celery is one more caller: each task is a line."""

from __future__ import annotations

from celery import shared_task
from django.db.models import Q
from django.db.models.functions import Now

from endpoints import lifecycle
from endpoints.models import Deployment


@shared_task(ignore_result=True)
def reconcile(deployment_id: int) -> None:
    if lifecycle.reconcile(deployment_id):
        reconcile.delay(deployment_id)


@shared_task(ignore_result=True)
def sweep() -> None:
    """Pick up what nobody works on: its worker died, or its message was lost."""
    free = Q(lease_holder="") | Q(lease_until__lt=Now())
    for pk in Deployment.objects.unsettled().filter(free).values_list("pk", flat=True):
        reconcile.delay(pk)
