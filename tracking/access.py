"""The doors to experiments and runs. A stranger learns nothing of their existence."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from studio.accounts.access import reach, signed_in
from studio.accounts.models import User
from studio.accounts.permissions import Level, mlflow_level_on
from tracking.models import Experiment, LoggedModel, Run


def experiments_for(user: User | AnonymousUser) -> QuerySet[Experiment]:
    return Experiment.objects.visible_to(user)


def experiment_for(user: User | AnonymousUser, pk: int, needs: Level = Level.READ) -> Experiment:
    """Return the experiment. Raises NotFound, and Forbidden where the user's level is below `needs`."""
    found = Experiment.objects.filter(pk=pk)
    return reach(found, user, needs, f"There is no experiment with the id {pk}.")


def runs_for(user: User | AnonymousUser) -> QuerySet[Run]:
    return Run.objects.visible_to(user)


def sees_runs_of(user: User | AnonymousUser, experiment: Experiment) -> bool:
    """Whether the user may see the runs of this experiment, which he may see: runs can be denied to him as such."""
    level = mlflow_level_on(signed_in(user), "experiment", str(experiment.pk), part="run")
    return level >= Level.READ


def run_for(user: User | AnonymousUser, run_id: str, needs: Level = Level.READ) -> Run:
    """Return the run with its experiment. Raises NotFound, and Forbidden where the level is below `needs`."""
    found = Run.objects.filter(pk=run_id).select_related("experiment")
    return reach(found, user, needs, f"There is no run with the id {run_id}.")


def logged_models_seen_by(user: User | AnonymousUser) -> QuerySet[LoggedModel]:
    """All of them, each with the user's `level`: they may be denied to who may read the run."""
    return LoggedModel.objects.with_level(signed_in(user))
