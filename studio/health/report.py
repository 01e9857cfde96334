"""All of it together, for the page and for programs."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from django.conf import settings
from django.utils.timezone import now

from studio.health import broker, checks, facts, verdict
from studio.health import versions as installed
from studio.health.models import Failure
from studio.health.windows import Pace, together

SLOWEST, FAILURES = 10, 20  # as many as are shown


@dataclass(frozen=True, slots=True)
class Report:
    at: datetime
    host: str
    parts: dict[str, str]
    troubles: list[verdict.Trouble]
    processes: list[facts.Running]
    broker: broker.Broker | None
    deployments: facts.Deployments
    replicas: dict[str, int]
    database: facts.Database
    places: list[facts.Place]
    requests: Pace  # all of the last hour together
    slowest: list[Pace]
    failures: list[Failure]
    versions: dict[str, str]
    schema: installed.Schema

    @property
    def status(self) -> str:
        """ok, warning (all works) or unwell (something does not)."""
        if any(trouble.level == verdict.BAD for trouble in self.troubles):
            return "unwell"
        return "warning" if self.troubles else "ok"

    @property
    def hosts(self) -> list[tuple[str, list[facts.Running]]]:
        """Processes by host, this one first."""
        found = [(host, list(group)) for host, group in groupby(self.processes, attrgetter("host"))]
        return sorted(found, key=lambda one: one[0] != self.host)

    @property
    def running(self) -> int:
        return sum(one.alive for one in self.processes)

    @property
    def memory(self) -> int:
        """Bytes that all processes hold, without replicas."""
        return sum(one.memory for one in self.processes if one.alive)


def report() -> Report:
    """Asks every part, and the database a dozen questions. Raises DatabaseError where that is away."""
    parts, warnings, trouble = checks.look()
    if trouble:
        warnings.append(trouble)
    running, queue = facts.processes(), broker.ask()
    deployments, database, places = facts.Deployments.now(), facts.Database.now(), facts.places()
    schema, programs = installed.schema(), installed.programs()
    if queue is not None and queue.version:
        programs["redis"] = queue.version
    windows = facts.windows()
    return Report(
        now(),
        socket.gethostname(),
        parts,
        verdict.troubles(
            verdict.Seen(
                parts,
                running,
                queue,
                deployments,
                database,
                places,
                schema,
                warnings,
                settings.VERSION,
            )
        ),
        running,
        queue,
        deployments,
        facts.replicas(),
        database,
        places,
        together(windows),
        facts.slowest(windows)[:SLOWEST],
        facts.last_failures(FAILURES),
        programs,
        schema,
    )
