"""When each run was last written to: noted by both lanes in memory, written down by the heartbeat every five seconds.

A run that says no more may have died without a word: MLflow has no time of its last write, and to ask its metrics
for one would cost what they are many.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from studio.lib.heartbeat import Wire

MOST = 20_000  # runs; of those beyond, nothing is noted until some have been written down
AT_ONCE = 2_000  # runs that are written by one statement, which has seconds to do it
# Ages, not times: what counts between hosts is the database's clock, and of a clock that is set back no future stays.
# In the order of their ids, so that several processes never wait for each other in a circle.
_WRITE = """
INSERT INTO tracking_runactivity AS known (run_id, last_write_at)
SELECT run_uuid, now() - make_interval(secs => min(age))
FROM unnest(%s::text[], %s::text[], %s::float8[]) AS noted (run_id, place, age)
JOIN runs ON run_uuid = noted.run_id AND noted.place IN ('', artifact_uri, experiment_id::text)
GROUP BY run_uuid ORDER BY run_uuid
ON CONFLICT (run_id) DO UPDATE
SET last_write_at = least(now(), greatest(known.last_write_at, excluded.last_write_at))
"""


class Activity:
    """What one process has to tell. Any thread notes; one thread, the heartbeat's, writes.

    There is no lock. All threads use the one dict, and each of its operations is atomic: a key leaves it only
    together with its value, by popitem, so that a note either goes along or is there for the next time.
    """

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str], float] = {}
        self._taken: dict[tuple[str, str], float] = {}  # the writing thread's own, until written

    def note(self, run_id: str, place: str = "") -> None:
        """A write to this run has just been acknowledged.

        `place`: an address of artifacts or an experiment's id, where no more than a write there was allowed. The
        run is meant if it is there.
        """
        key, noted = (run_id, place), self._noted
        if len(noted) < MOST or key in noted:
            noted[key] = monotonic()

    def write(self, wire: Wire) -> None:
        """Write down what was noted, of runs that exist. Raises psycopg.Error: then it is kept, and goes next time."""
        more = True
        while more:
            self._take()
            more = len(self._taken) == AT_ONCE
            if self._taken:
                self._write_taken(wire)

    def _take(self) -> None:
        while self._noted and len(self._taken) < AT_ONCE:
            key, at = self._noted.popitem()
            self._taken[key] = at

    def _write_taken(self, wire: Wire) -> None:
        moment = monotonic()
        runs, places = zip(*self._taken, strict=True)
        ages = [moment - at for at in self._taken.values()]
        wire.execute(_WRITE, [list(runs), list(places), ages])
        self._taken.clear()


_WEB = Activity()
note, write = _WEB.note, _WEB.write


def take_note(*, run_id: str, place: str, **_: Any) -> None:
    """Receives `run_written`: MLflow's server has written to a run."""
    note(run_id, place)
