"""How Studio is, as values: what the page, /api/v1/health and /metrics tell."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.db.models.functions import Now
from django.utils.timezone import now

from endpoints.models import Deployment, Replica, ReplicaState, State, Wanted
from studio.health.models import Failure, Measure, Process, Window
from studio.health.windows import SPAN, Pace, paces

NAMES = ("up", "postgres", "redis", "web", "reference", "gateway", "agent", "worker", "beat")
# Without one of these Studio does not work, wherever it runs.
NEEDED = ("web", "reference", "gateway", "agent", "worker", "beat")
TABLES = 8  # the largest
# Routes that a look at Studio's health costs.
_OWN = (" healthz", " livez", " metrics", " administration/health/", " api/v1/health")
_IN_WORK = (
    State.QUEUED,
    State.RESOLVING,
    State.FETCHING,
    State.BUILDING,
    State.STARTING,
    State.PROBING,
    State.TRYING,
    State.STOPPING,
)


@dataclass(frozen=True, slots=True)
class Running:
    """A process: one that runs, or one that has died and that no other of its name on its host stands in for."""

    name: str
    host: str
    pid: int
    alive: bool
    started_at: datetime
    seen_at: datetime
    memory: int
    restarts: int
    version: str

    @property
    def state(self) -> str:
        return "running" if self.alive else "not heard of"

    @property
    def silent(self) -> float:
        """Seconds since it was heard of."""
        return (now() - self.seen_at).total_seconds()

    @property
    def uptime(self) -> float:
        return (self.seen_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Deployments:
    by_state: dict[str, int]
    in_work: int
    lapsed: int  # leases that ran out while somebody should be at work

    @classmethod
    def now(cls) -> Deployments:
        kept = Deployment.objects.exclude(wanted=Wanted.GONE)
        states = dict(kept.values_list("state").annotate(number=Count("pk")).order_by("state"))
        lapsed = Deployment.objects.exclude(lease_holder="").filter(lease_until__lt=Now())
        in_work = sum(states.get(state, 0) for state in _IN_WORK)
        return cls(states, in_work, lapsed.count())


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    size: int  # bytes, with indexes


@dataclass(frozen=True, slots=True)
class Database:
    size: int
    tables: tuple[Table, ...]
    connections: int
    connections_most: int

    @classmethod
    def now(cls) -> Database:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_database_size(current_database()), current_setting('max_connections')::int, "
                "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
            )
            size, most, used = cursor.fetchone()
            cursor.execute(
                "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'm') "
                "AND relnamespace = current_schema()::regnamespace ORDER BY 2 DESC, 1 LIMIT %s",
                [TABLES],
            )
            tables = tuple(Table(*row) for row in cursor.fetchall())
        return cls(size, tables, used, most)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and the disk that it lies on. None: it is not known, or has not been measured yet."""

    name: str
    where: str
    size: int | None
    measured_at: datetime | None
    free: int | None
    disk: int | None

    @property
    def used_percent(self) -> float | None:
        if self.free is None or not self.disk:
            return None
        return 100 * (self.disk - self.free) / self.disk


def processes() -> list[Running]:
    """By host and name. What has died counts as a restart of who stands in for it."""
    rows = Process.objects.order_by("host", "name", "-seen_at", "pid")
    ups = {row.run for row in rows if row.name == "up"}
    found: list[Running] = []
    for _, group in groupby(rows, key=attrgetter("host", "name")):
        here = list(group)
        live = [row for row in here if row.alive]
        if not live:  # the last that was there
            found.append(_running(here[0], 0))
        for row in live:
            dead = [one for one in here if not one.alive and _same_run(one, row, ups)]
            found.append(_running(row, len(dead)))
    return sorted(
        found, key=lambda one: (one.host, one.alive, _order(one.name), one.started_at, one.pid)
    )


def _same_run(dead: Process, live: Process, ups: set[str]) -> bool:
    """What an earlier `up` has left is no restart of this one's; a process that runs alone has a run to itself."""
    return dead.run == live.run or (dead.run not in ups and live.run not in ups)


def _running(row: Process, restarts: int) -> Running:
    return Running(
        row.name,
        row.host,
        row.pid,
        row.alive,
        row.started_at,
        row.seen_at,
        row.memory,
        restarts,
        row.version,
    )


def _order(name: str) -> int:
    return NAMES.index(name) if name in NAMES else len(NAMES)


def replicas() -> dict[str, int]:
    kept = Replica.objects.exclude(state=ReplicaState.GONE)
    return dict(kept.values_list("state").annotate(number=Count("pk")).order_by("state"))


def places() -> list[Place]:
    """Of this host: each web host has disks of its own."""
    measures = {measure.name: measure for measure in Measure.objects.all()}
    artifacts: Path | str = settings.ARTIFACTS
    found = [("home", settings.HOME.root), ("artifacts", artifacts)]
    found.append(("environments", settings.HOME.environments))
    return [_place(name, where, measures.get(name)) for name, where in found]


def _place(name: str, where: Path | str, measure: Measure | None) -> Place:
    free = disk = None
    if isinstance(where, Path):
        try:
            usage = shutil.disk_usage(where)
            free, disk = usage.free, usage.total
        except OSError:  # not there yet
            pass
    known = measure is not None and measure.value >= 0
    return Place(
        name,
        str(where),
        measure.value if measure and known else None,
        measure.at if measure and known else None,
        free,
        disk,
    )


def windows() -> list[dict[str, list[float]]]:
    """What web's processes have told of the last hour."""
    since = now() - timedelta(hours=1, seconds=SPAN)
    return list(Window.objects.filter(at__gt=since).values_list("routes", flat=True))


def slowest(told: list[dict[str, list[float]]]) -> list[Pace]:
    """By route, without those that look after Studio."""
    return [pace for pace in paces(told) if not pace.route.endswith(_OWN)]


def last_failures(number: int) -> list[Failure]:
    return list(Failure.objects.all()[:number])
