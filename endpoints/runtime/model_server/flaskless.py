"""
What MLflow before 2.21 needs of Flask to score, for environments that have no Flask.

mlflow-skinny does not depend on Flask, yet those versions' scoring code reads its request
from it. Only as much as that code touches is here.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from collections.abc import Iterable

    View = Callable[[], "Response"]

request = SimpleNamespace(data=b"", content_type="")  # one thread predicts, so one is enough


class Response:
    """An answer as Flask would send it."""

    def __init__(self, response: str, status: int, mimetype: str) -> None:
        self.body = response.encode()
        self.status = f"{status} -"
        charset = "; charset=utf-8" if mimetype.startswith("text/") else ""
        self.content_type = mimetype + charset


class Flask:
    """A WSGI application that looks its views up by path."""

    def __init__(self, name: str) -> None:
        self.config: dict[str, Any] = {}
        self._views: dict[str, View] = {}

    def route(self, path: str, methods: Iterable[str] = ()) -> Callable[[View], View]:
        def register(view: View) -> View:
            self._views[path] = view
            return view

        return register

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> list[bytes]:
        request.data = environ["wsgi.input"].read()
        request.content_type = environ["CONTENT_TYPE"]
        response = self._views[environ["PATH_INFO"]]()
        start_response(response.status, [("Content-Type", response.content_type)])
        return [response.body]


def install() -> None:
    """
    Make `import flask` find this, and MLflow's tracking server nothing but a name.

    The scoring code imports one decorator from the tracking server, which needs far more of
    Flask and cannot be imported without it anyway.
    """
    _module("flask", Flask=Flask, Response=Response, request=request)
    _module("mlflow.server", __path__=[])
    _module("mlflow.server.handlers", catch_mlflow_exception=lambda view: view)


def _module(name: str, **contents: object) -> None:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)
    vars(module).update(contents)
    sys.modules[name] = module
