"""The page of who may do what with an experiment."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from studio.accounts import sharing
from studio.accounts.models import Permission
from studio.accounts.permissions import Level
from studio.accounts.query import mlflow_holdings
from studio.mlflow import services as grants
from tracking import access

MEANINGS = {
    Permission.READ: "See the experiment, its runs and their files.",
    Permission.USE: "The same as Read: nothing of an experiment asks for Use yet.",
    Permission.EDIT: "Also log runs, and change what they and the experiment say.",
    Permission.MANAGE: "Also delete runs and the experiment, and give access to others.",
    Permission.DENY: "Nothing, even where a role or a permission on all experiments gives more.",
}


@require_http_methods(["GET", "HEAD", "POST"])
def experiment(request: HttpRequest, pk: int) -> HttpResponse:
    found = access.experiment_for(request.user, pk, Level.MANAGE)
    shared = sharing.Shared(
        row=found,
        resource_type="experiment",
        resource_id=str(found.pk),
        holdings=mlflow_holdings,
        grants=grants,
        template="tracking/access.html",
        meanings=MEANINGS,
        listing="tracking:experiments",
        lowers_own=False,
    )
    return sharing.page(request, shared)
