"""Static files: named by their content, so that browsers keep them for ever; compressed once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage
from django.core.files.storage import Storage as AnyStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage

_BUNDLE = "plotly.min.js"


class Storage(CompressedManifestStaticFilesStorage):
    # ES modules import each other by name: those names are rewritten too.
    support_js_module_import_aggregation = True


class PlotlyFinder(BaseFinder):
    """Serves the JavaScript bundle that the plotly package carries."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("plotly")
        assert spec is not None and spec.origin is not None  # a dependency
        self.storage = FileSystemStorage(Path(spec.origin).parent / "package_data")

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = self.storage.path(path) if path == _BUNDLE else None
        if find_all:
            return [found] if found else []
        return found

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[tuple[str, AnyStorage]]:
        yield _BUNDLE, self.storage
