"""What the apps above may want to know of the reference lane."""

from __future__ import annotations

from django.dispatch import Signal

# MLflow's server has done what a request asked for that writes to a run. Sent with `run_id` and `place`. Where
# `place` is not empty, MLflow has allowed the write for the place alone, and the run is meant only if it is there:
# an address of artifacts, or an experiment's id.
run_written = Signal()
