"""What requests name runs, experiments and their stages by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.lane.asked import needed
from studio.lane.asking import Elsewhere
from tracking.models import ACTIVE, DELETED

# The stages of each of MLflow's views.
STAGES = {"ACTIVE_ONLY": [ACTIVE], "DELETED_ONLY": [DELETED], "ALL": [ACTIVE, DELETED]}


def run_of(sent: Mapping[str, Any]) -> str:
    """The run that is meant, by the older name of the field or the newer one. Raises Elsewhere where none or both are."""
    names = sent.keys() & {"run_id", "run_uuid"}
    if len(names) != 1:
        raise Elsewhere
    return str(needed(sent, names.pop()))


def experiment_id(written: str) -> int:
    """An experiment's id as it stands in grants. Raises Elsewhere for another."""
    if not (written.isdecimal() and written.isascii() and len(written) < 11):
        raise Elsewhere
    found = int(written)
    if str(found) != written or found >= 2**31:
        raise Elsewhere
    return found
