"""What people do with the registry. MLflow's server writes, so that its rules and webhooks apply."""

from __future__ import annotations

from registry.models import RegisteredModel
from studio.accounts.models import User
from studio.accounts.permissions import WORKSPACE
from studio.mlflow.services import MlflowRefused, call
from tracking.models import Run
from tracking.query import LoggedHere

_API = "/api/2.0/mlflow"


def register(*, model: LoggedHere, run: Run, name: str, by: User) -> int:
    """Register a model that `run` has logged as a new version of `name`, made if it is new. Returns the version.

    Raises MlflowRefused (a name that MLflow does not take, say) and Unavailable.
    """
    if not RegisteredModel.objects.filter(workspace=WORKSPACE, name=name).exists():
        try:
            call(by.username, "POST", f"{_API}/registered-models/create", {"name": name})
        except MlflowRefused as refused:
            if (
                refused.error_code != "RESOURCE_ALREADY_EXISTS"
            ):  # somebody made it meanwhile: as good
                raise
    body = {"name": name, "source": model.source, "run_id": run.pk}
    if model.model_id:
        body["model_id"] = model.model_id
    answer = call(by.username, "POST", f"{_API}/model-versions/create", body)
    return int(answer["model_version"]["version"])
