"""What Studio answers in the place of MLflow's server."""

from __future__ import annotations

from django.http import HttpResponse

from studio.lib.imports import load
from studio.mlflow.guards import Call, Table
from tracking import lane
from tracking.lane import guarded


def register(table: Table) -> None:
    for api in ("/api/2.0", "/ajax-api/2.0"):
        route = f"{api}/mlflow-artifacts/artifacts/<path:path>"
        table.add("PUT", route, before=_upload, streams=True)
    for api in ("/api/2.0", "/ajax-api/2.0"):
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
