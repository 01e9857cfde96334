"""A program: prints every route of MLflow's server, as Studio starts it, one JSON array a line: [path, method, …].

Its own process, since MLflow reads its environment while it is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from studio.lib import artifacts
from studio.lib.database import sqlalchemy_url
from studio.mlflow import serve


def main() -> None:
    database = sqlalchemy_url(settings.DATABASES["default"])
    settings.HOME.secret("test")  # makes the folder
    config = serve._auth_config(settings.HOME.root, database)
    serve._configure(database, artifacts.destination(), "flask key", config)
    from mlflow.server.auth import create_app

    for path, methods in sorted(routes(create_app())):
        print(json.dumps([path, *methods]))  # noqa: T201 - what it is for


def routes(app: Any) -> Iterator[tuple[str, list[str]]]:
    yield from native(app.routes)
    from mlflow.server import app as flask

    for rule in flask.url_map.iter_rules():
        yield rule.rule, sorted(rule.methods or [])


def native(routes: list[Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """FastAPI's routes; a router that is included keeps its own, without the prefix it is included under."""
    for route in routes:
        if inner := getattr(route, "original_router", None):
            yield from native(inner.routes, prefix + route.include_context.prefix)
        elif methods := getattr(route, "methods", None):
            yield prefix + route.path, sorted(methods)


if __name__ == "__main__":
    main()
