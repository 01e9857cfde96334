"""The page of who may do what with a registered model."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from registry import access
from studio.accounts import sharing
from studio.accounts.models import Permission
from studio.accounts.permissions import Level
from studio.accounts.query import mlflow_holdings
from studio.mlflow import services as grants

MEANINGS = {
    Permission.READ: "See the model, its versions and their files, and deploy it where one may deploy.",
    Permission.USE: "The same as Read: nothing of a model asks for Use yet.",
    Permission.EDIT: "Also register versions, set aliases and tags, and rename the model.",
    Permission.MANAGE: "Also delete versions and the model, and give access to others.",
    Permission.DENY: "Nothing, even where a role or a permission on all models gives more.",
}


@require_http_methods(["GET", "HEAD", "POST"])
def model(request: HttpRequest, name: str) -> HttpResponse:
    found = access.model_for(request.user, name, Level.MANAGE)
    shared = sharing.Shared(
        row=found,
        resource_type="registered_model",
        resource_id=found.name,
        holdings=mlflow_holdings,
        grants=grants,
        template="registry/access.html",
        meanings=MEANINGS,
        listing="registry:models",
        lowers_own=False,
    )
    return sharing.page(request, shared)
