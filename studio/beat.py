"""What sends the tasks of the timetable: Celery's scheduler, for a clock that may be set back."""

from __future__ import annotations

import logging

from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from kombu import Producer

log = logging.getLogger(__name__)


class SteadyScheduler(Scheduler):  # type: ignore[misc]  # Celery carries no types
    """Keeps no file: what is on the timetable comes every few seconds, and may come once too often.

    Celery's would send nothing until the clock has come again to where it was when it was set back.
    """

    def setup_schedule(self) -> None:
        self.merge_inplace(self.app.conf.beat_schedule)

    def tick(self) -> float:
        """Send what is due. Returns the seconds until the next look."""
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > self.app.now()]
        for entry in ahead:
            entry.last_run_at = self.app.now()
        if ahead:
            self._heap = None  # which was ordered by those times: it is made anew
        return float(super().tick())

    def apply_entry(self, entry: ScheduleEntry, producer: Producer | None = None) -> None:
        """Send one. In one line, that a broker which is away did not take it: it is sent again."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as failure:
            log.warning("not sent: %s", failure)
