"""Web's metrics: what its workers have counted, and how Studio as a whole is.

Where the database or Redis is away what they would tell is left out, and nothing waits for them for long: it is then
that somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from django.conf import settings

from studio.health import broker
from studio.health.counters import SHARED, Totals
from studio.lib.metrics import Family

_PATIENCE = 2  # seconds
# One statement for all: text, labels, number. A process that has died is told as 0 for a day.
_SQL = """
SELECT 'process_up', host, name, max((seen_at > now() - interval '15 s')::int)::float8
FROM health_process GROUP BY host, name
UNION ALL
SELECT 'process_memory', host, name, sum(memory)::float8
FROM health_process WHERE seen_at > now() - interval '15 s' GROUP BY host, name
UNION ALL
SELECT 'deployments', state, '', count(*)::float8
FROM endpoints_deployment WHERE wanted <> 'gone' GROUP BY state
UNION ALL
SELECT 'replicas', state, '', count(*)::float8 FROM endpoints_replica WHERE state <> 'gone' GROUP BY state
UNION ALL
SELECT 'measure', name, '', value::float8 FROM health_measure WHERE value >= 0
UNION ALL
SELECT 'database_size', '', '', pg_database_size(current_database())::float8
UNION ALL
SELECT 'connections', '', '', count(*)::float8 FROM pg_stat_activity WHERE backend_type = 'client backend'
UNION ALL
SELECT 'connections_most', '', '', current_setting('max_connections')::float8
ORDER BY 1, 2, 3
"""


def families() -> Iterator[Family]:
    yield from _of_requests(SHARED.total())
    yield from _of_database()
    yield from _of_broker()
    info = Family("studio_build_info", "gauge", "The version that answers.")
    info.add(1, version=settings.VERSION)
    yield info


def _of_requests(total: Totals) -> Iterator[Family]:
    requests = Family(
        "studio_http_requests_total", "counter", "Requests to web that were answered."
    )
    calls = Family("studio_reference_requests_total", "counter", "Calls to MLflow's own server.")
    for (what, *labels), number in sorted(total.counts.items()):
        if what == "http_requests":
            route, method, status = labels
            requests.add(number, route=route, method=method, status=status)
        else:
            calls.add(number, status=labels[0])
    took = Family("studio_http_request_seconds", "histogram", "Until web's answer began.")
    called = Family("studio_reference_request_seconds", "histogram", "Until MLflow's answer began.")
    for (what, *labels), times in sorted(total.times.items()):
        if what == "http_request":
            took.add_times(times, route=labels[0])
        else:
            called.add_times(times)
    in_flight = Family("studio_http_requests_in_flight", "gauge", "Requests that web works on.")
    in_flight.add(total.in_flight)
    yield from (requests, took, in_flight, calls, called)


def _of_database() -> Iterator[Family]:
    up = Family("studio_database_up", "gauge", "Whether PostgreSQL answers.")
    try:
        rows = _rows()
    except psycopg.Error:
        up.add(0)
        yield up
        return
    up.add(1)
    yield up
    found = {
        "process_up": Family("studio_process_up", "gauge", "Whether a process of this name runs."),
        "process_memory": Family(
            "studio_process_memory_bytes", "gauge", "What the processes of this name hold."
        ),
        "deployments": Family("studio_deployments", "gauge", "Deployments by state."),
        "replicas": Family("studio_replicas", "gauge", "Replicas by state."),
        "measure": Family("studio_stored_bytes", "gauge", "Size of a folder, measured each hour."),
        "database_size": Family("studio_database_size_bytes", "gauge", "Size of the database."),
        "connections": Family(
            "studio_database_connections", "gauge", "Connections that PostgreSQL has."
        ),
        "connections_most": Family(
            "studio_database_connections_max", "gauge", "Connections that PostgreSQL allows."
        ),
    }
    names = {
        "process_up": ("host", "process"),
        "process_memory": ("host", "process"),
        "deployments": ("state",),
        "replicas": ("state",),
        "measure": ("place",),
    }
    for what, *labels, value in rows:
        given = dict(zip(names.get(what, ()), labels, strict=False))
        found[what].add(value, **given)
    yield from found.values()


def _rows() -> list[tuple[str, str, str, float]]:
    """By a connection of its own: the pool's would be waited for."""
    with psycopg.connect(
        settings.DATABASE_URL, autocommit=True, connect_timeout=_PATIENCE, prepare_threshold=None
    ) as wire:
        wire.execute(f"SET statement_timeout = {_PATIENCE * 1000}")
        return wire.execute(_SQL).fetchall()


def _of_broker() -> Iterator[Family]:
    found = broker.ask()
    up = Family("studio_redis_up", "gauge", "Whether Redis answers.")
    up.add(found is not None)
    yield up
    if found is None:
        return
    length = Family("studio_queue_length", "gauge", "Tasks that wait for a worker.")
    age = Family("studio_queue_oldest_seconds", "gauge", "How long the oldest of them has waited.")
    for queue in found.queues:
        length.add(queue.length, queue=queue.name)
        age.add(queue.oldest or 0, queue=queue.name)
    yield from (length, age)
