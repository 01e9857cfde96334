"""What Studio answers in the place of MLflow's server."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase

from studio.lib.imports import load
from studio.mlflow.guards import Call, Table
from tracking import lane
from tracking.lane import guarded


def register(table: Table) -> None:
    for api in ("/api/2.0", "/ajax-api/2.0"):
        route = f"{api}/mlflow-artifacts/artifacts/<path:path>"
        table.add("PUT", route, before=_upload, streams=True)
        table.add("GET", route, before=_download, streams=True)
        table.add("GET", f"{api}/mlflow/artifacts/list", before=_listing, streams=True)
        for route in lane.ROUTES:
            table.add("POST", f"{api}/{route}", before=guarded.answered, streams=True)
        for route, methods in lane.READING.items():
            if route in lane.OF_PAGES and api == "/api/2.0":
                continue
            for method in methods:
                table.add(method, f"{api}/{route}", before=guarded.looked_up, streams=True)


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
