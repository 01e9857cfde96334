"""The doors to experiments and runs. A stranger learns nothing of their existence."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from studio.accounts.access import admit
from studio.accounts.models import User
from studio.lib.errors import NotFound
from tracking.models import Experiment, Run


def experiments_for(user: User | AnonymousUser) -> QuerySet[Experiment]:
    return Experiment.objects.visible_to(admit(user))


def experiment_for(user: User | AnonymousUser, pk: int) -> Experiment:
    """Return the experiment, or NotFound."""
    try:
        return Experiment.objects.visible_to(user).get(pk=pk)
    except (Experiment.DoesNotExist, OverflowError):
        raise NotFound(f"There is no experiment with the id {pk}.") from None


def runs_for(user: User | AnonymousUser) -> QuerySet[Run]:
    return Run.objects.visible_to(admit(user))


def run_for(user: User | AnonymousUser, run_id: str) -> Run:
    """Return the run with its experiment, or NotFound."""
    try:
        return Run.objects.visible_to(user).select_related("experiment").get(pk=run_id)
    except Run.DoesNotExist:
        raise NotFound(f"There is no run with the id {run_id}.") from None
