"""Tells other processes, through PostgreSQL, that rows they hold in memory have changed."""

from __future__ import annotations

from django.db import connection

ROUTES = "studio_routes"  # to the gateway: endpoints, keys, tokens, deployments or replicas changed
REPLICAS = "studio_replicas"  # to the agent: a replica is wanted, or no longer


def notify(*channels: str) -> None:
    """Wake the listeners when the current transaction commits. A lost wake-up is made good by their own re-reading."""
    with connection.cursor() as cursor:
        for channel in channels:
            cursor.execute("SELECT pg_notify(%s, '')", [channel])
