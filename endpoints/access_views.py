"""The page of who may do what with an endpoint."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from endpoints import access
from endpoints.models import ENDPOINT
from studio.accounts import services as grants
from studio.accounts import sharing
from studio.accounts.models import Permission
from studio.accounts.permissions import Level
from studio.accounts.query import studio_holdings

MEANINGS = {
    Permission.READ: "See the endpoint, its deployments and their logs.",
    Permission.USE: "Also score, with one's own access token.",
    Permission.EDIT: "Also deploy models. To deploy a model is to run its code on this machine: give it to people you trust with that.",
    Permission.MANAGE: "Also see and replace the keys, delete deployments and the endpoint, and give access to others.",
    Permission.DENY: "Nothing, even where a permission on all endpoints gives more.",
}


@require_http_methods(["GET", "HEAD", "POST"])
def endpoint(request: HttpRequest, name: str) -> HttpResponse:
    found = access.endpoint_for(request.user, name, Level.MANAGE)
    shared = sharing.Shared(
        row=found,
        resource_type=ENDPOINT,
        resource_id=str(found.pk),
        holdings=studio_holdings,
        grants=grants,
        template="endpoints/access.html",
        meanings=MEANINGS,
        listing="endpoints:endpoints",
    )
    return sharing.page(request, shared)
