"""Well or not, and what to do about it. Values in, sentences out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from studio.health.broker import Broker
from studio.health.facts import NEEDED, Database, Deployments, Place, Running
from studio.health.versions import Schema

BAD, WARN = "bad", "warn"
# A disk this empty is fine, whatever its size; one as full as the other says so.
_FREE_WARN, _FREE_BAD = 5_000_000_000, 1_000_000_000  # bytes
_CONNECTIONS = 0.85  # of those that PostgreSQL allows
_WAITED = 60.0  # seconds in the queue

_STORE = (
    "If it is embedded, up starts it again, and its lines in the log say why it ended; "
    "if it is yours: does its server run, and does {setting} lead to it?"
)
_START = {
    "up": "make up starts Studio.",
    "database": _STORE.format(setting="DATABASE_URL"),
    "postgres": _STORE.format(setting="DATABASE_URL"),
    "redis": _STORE.format(setting="REDIS_URL"),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    level: str
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What is judged."""

    parts: Mapping[str, str]
    running: list[Running]
    broker: Broker | None
    deployments: Deployments
    database: Database
    places: list[Place]
    schema: Schema
    warnings: list[str]
    version: str  # of Studio, here


def troubles(seen: Seen) -> list[Trouble]:
    """The worst first."""
    found = [
        *_of_parts(seen.parts, seen.running),
        *_of_processes(seen.running, seen.version),
        *_of_queue(seen.broker, seen.deployments),
        *_of_database(seen.database, seen.schema),
        *(trouble for place in seen.places for trouble in _of_place(place)),
        *(Trouble(WARN, told, "It works, though not as it should.") for told in seen.warnings),
    ]
    return sorted(found, key=lambda trouble: trouble.level != BAD)


def _of_parts(parts: Mapping[str, str], running: list[Running]) -> Iterator[Trouble]:
    """What /healthz names."""
    alive = {one.name for one in running if one.alive}
    for name, told in parts.items():
        if told == "ok":
            continue
        if name in alive:
            do = "Its process runs. Look at its lines in the log; ending the process has it started again."
        else:
            do = _start(name)
        yield Trouble(BAD, f"{name.capitalize()}: {told}.", do)


def _of_processes(running: list[Running], version: str) -> Iterator[Trouble]:
    alive = {one.name for one in running if one.alive}
    for name in NEEDED:
        if name not in alive and name not in ("agent", "worker", "gateway", "reference"):
            yield Trouble(BAD, f"No {name} process has been heard of for 15 s.", _start(name))
    for one in running:
        if not one.alive and one.name in alive:
            told = f"The {one.name} on {one.host} (pid {one.pid}) has not been heard of for {_time(one.silent)}."
            yield Trouble(
                WARN,
                told,
                f"{_start(one.name)} Others of its kind run: if it is gone for good, its row leaves this page "
                "after a day.",
            )
    strange = sorted({(one.host, one.version) for one in running if one.alive} - {("", version)})
    for host, other in strange:
        if other != version:
            told = f"{host} runs Studio {other}, and this host {version}."
            yield Trouble(WARN, told, "Install the same version on all hosts and start them again.")


def _of_queue(broker: Broker | None, deployments: Deployments) -> Iterator[Trouble]:
    if broker is not None and (broker.oldest or 0) > _WAITED:
        told = f"Work waits in the queue: {broker.waiting} tasks, the oldest for {broker.oldest:.0f} s."
        do = "If a worker runs and is busy, start another one; if none runs, start it."
        yield Trouble(WARN, told, do)
    if deployments.lapsed:
        are = "deployment is" if deployments.lapsed == 1 else "deployments are"
        told = f"{deployments.lapsed} {are} with a worker that has not been heard of."
        yield Trouble(
            WARN,
            told,
            "The next sweep takes them over, within seconds. If this stays: is a worker there, and beat?",
        )


def _of_database(database: Database, schema: Schema) -> Iterator[Trouble]:
    if database.connections > _CONNECTIONS * database.connections_most:
        told = f"{database.connections} of {database.connections_most} connections to PostgreSQL are used."
        yield Trouble(WARN, told, "Raise max_connections, or end what else uses the server.")
    if not schema.current:
        what = ", ".join(
            [*schema.backlog, *(one.name for one in schema.revisions if one.found != one.wanted)]
        )
        told = f"The database is not at this version: {what}."
        yield Trouble(BAD, told, "Run manage.py migrate on one host, and start Studio again.")


def _of_place(place: Place) -> Iterator[Trouble]:
    if place.free is None or place.free > _FREE_WARN or place.name == "environments":
        return
    level = BAD if place.free < _FREE_BAD else WARN
    told = f"The disk of {place.where} has {place.free / 1e9:.1f} GB left ({place.name})."
    yield Trouble(level, told, "Make room: what cannot be written is refused, and work stops.")


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _start(name: str) -> str:
    alone = f"One that has ended is started again within 15 s where `up` runs; alone: manage.py run {name}. One that hangs: end it."
    return _START.get(name, alone)
