"""MLflow's routes in as few words as there are: what is no word of a route is somebody's id or name."""

from __future__ import annotations

import re
from itertools import pairwise

_API = re.compile(r"/(?:mlflow/)?((?:ajax-)?api)/(\d\.\d)/([a-z-]+)/(.*)")
_WORD = re.compile(r"(v\d|[a-z][a-z-]{0,30})\Z")
# Followed by an id or a name, whatever that looks like.
_BEFORE_NAMES = {
    "artifacts", "datasets", "logged-models", "traces", "scorers", "secrets", "endpoints",
    "model-definitions", "webhooks", "workspaces", "presigned", "prompt-optimization-jobs", "jobs",
}  # fmt: skip


def mlflow_route(path: str) -> str:
    """The route that a path leads to, as far as words alone can tell it."""
    found = _API.match(path)
    if found is None:
        return "/".join(filter(_WORD.match, path.strip("/").split("/")[:2])) or "mlflow"
    kind, version, first, rest = found.groups()
    parts = rest.split("/")[: 2 if first == "mlflow-artifacts" else 4]  # then come folders
    words = [
        part if _WORD.match(part) and before not in _BEFORE_NAMES else "…"
        for before, part in pairwise([first, *parts])
    ]
    return "/".join([kind, version, first, *words])
