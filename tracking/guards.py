"""What Studio answers in the place of MLflow's server."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase

from studio.lane import guarded
from studio.lib.imports import load
from studio.mlflow.guards import Call, Table
from tracking.lane import LANE


def register(table: Table) -> None:
    for api in ("/api/2.0", "/ajax-api/2.0"):
        route = f"{api}/mlflow-artifacts/artifacts/<path:path>"
        table.add("PUT", route, before=_upload, streams=True)
        table.add("GET", route, before=_download, streams=True)
        table.add("GET", f"{api}/mlflow-artifacts/artifacts", before=_folder, streams=True)
        table.add("GET", f"{api}/mlflow/artifacts/list", before=_listing, streams=True)
    guarded.register(table, LANE)


def _upload(call: Call) -> HttpResponse | None:
    # With it comes MLflow, which not every process needs.
    answer: HttpResponse | None = load("tracking.uploads").upload(call)
    return answer


def _download(call: Call) -> HttpResponseBase | None:
    answer: HttpResponseBase | None = load("tracking.downloads").download(call)
    return answer


def _listing(call: Call) -> HttpResponse | None:
    answer: HttpResponse | None = load("tracking.downloads").listing(call)
    return answer


def _folder(call: Call) -> HttpResponse | None:
    answer: HttpResponse | None = load("tracking.downloads").folder(call)
    return answer
