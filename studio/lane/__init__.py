"""What the fast lane is made of: MLflow's hot routes answered by Studio itself, for each app its own (tracking.lane, registry.lane).

`answers` reads a request, has it done and says it in MLflow's words. `wires` are the connections to PostgreSQL,
`messages` and `asked` read what was sent, `json_sql` and `told` make JSON. What MLflow's server answers to the same
request is the contract: tests/differential compares the two, docs/compatibility.md lists what differs.

Of this package only what is here, `entry` and `guarded` may be imported at a process' start: the rest needs MLflow,
which takes seconds and 180 MB that no other process than web has a use for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PREFIXES = ("/api/2.0/", "/ajax-api/2.0/", "/mlflow/ajax-api/2.0/")


class Lane(NamedTuple):
    """An app's routes, below each of PREFIXES.

    `tables`: the module with its READERS and SEEKERS (studio.lane.routes). `writing`: all are POST. `reading`: with
    the methods by which they are asked. `of_pages`: those that MLflow has for its own pages alone, not below `/api/`.
    """

    tables: str
    writing: tuple[str, ...]
    reading: Mapping[str, tuple[str, ...]]
    of_pages: tuple[str, ...] = ()


# Each is added when its app is ready.
LANES: list[Lane] = []
