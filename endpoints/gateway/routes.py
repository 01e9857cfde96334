"""The routing table: who may score on which endpoint, and where that is answered. Values and pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from random import Random
from typing import Any, NamedTuple

import orjson

from studio.lib.secrets import digest

# One statement, so one moment of the database: a table is never half of before and half of after. Who may use
# an endpoint is folded as in studio.accounts.permissions, which this process does not import: a test compares.
SQL = """
SELECT json_build_object(
    'tokens', (
        SELECT coalesce(json_object_agg(token.digest, token.user_id), '{}')
        FROM accounts_accesstoken token
        JOIN accounts_user holder ON holder.id = token.user_id
        WHERE token.revoked_at IS NULL AND holder.is_active
    ),
    'administrators', (
        SELECT coalesce(json_agg(id), '[]') FROM accounts_user WHERE is_active AND is_superuser
    ),
    'routes', (
        SELECT coalesce(json_agg(json_build_object(
            'name', endpoint.name,
            'keys', json_build_array(endpoint.primary_digest, endpoint.secondary_digest),
            'users', (
                SELECT coalesce(json_agg(using_it.user_id), '[]')
                FROM (
                    SELECT user_id FROM accounts_grant
                    WHERE resource_type = 'endpoint' AND resource_id IN ('*', endpoint.id::text)
                    GROUP BY user_id
                    HAVING bool_or(permission IN ('USE', 'EDIT', 'MANAGE')) AND NOT bool_or(permission = 'DENY')
                ) using_it
            ),
            'deployments', (
                SELECT coalesce(json_agg(json_build_object(
                    'name', deployment.name,
                    'traffic', deployment.traffic,
                    'stopped', deployment.wanted = 'stopped',
                    'replicas', (
                        SELECT coalesce(json_agg(json_build_array(replica.address, replica.pid)
                            ORDER BY replica.id), '[]')
                        FROM endpoints_replica replica
                        WHERE replica.deployment_id = deployment.id
                        AND replica.state = 'ready' AND replica.wanted AND replica.address <> ''
                    )
                ) ORDER BY deployment.id), '[]')
                FROM endpoints_deployment deployment
                WHERE deployment.endpoint_id = endpoint.id AND deployment.wanted <> 'gone'
            )
        )), '[]')
        FROM endpoints_endpoint endpoint
        WHERE endpoint.wanted <> 'gone'
    )
)::text
"""


class Replica(NamedTuple):
    address: str  # a Unix socket
    pid: int | None = None  # of who shall listen there; None: it is not known


@dataclass(frozen=True, slots=True)
class Deployment:
    name: str
    traffic: int  # percent
    replicas: tuple[Replica, ...] = ()  # those that are ready
    stopped: bool = False  # by a person


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    keys: tuple[str, ...]  # digests
    deployments: tuple[Deployment, ...] = ()
    users: frozenset[int] = frozenset()  # ids of those who were granted USE or more


# Stands for every endpoint that is not there: no text has this digest.
_NOWHERE = Route("", ("0" * 64, "0" * 64))


@dataclass(frozen=True, slots=True)
class Table:
    routes: Mapping[str, Route] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)  # digest: whose, by id
    administrators: frozenset[int] = frozenset()  # ids of those who may score everywhere


def table_from(text: str) -> Table:
    """The table that `SQL` told."""
    told = orjson.loads(text)
    return Table(
        {route["name"]: _route(route) for route in told["routes"]},
        told["tokens"],
        frozenset(told["administrators"]),
    )


def _route(told: dict[str, Any]) -> Route:
    deployments = (
        Deployment(
            one["name"],
            one["traffic"],
            tuple(Replica(*replica) for replica in one["replicas"]),
            one["stopped"],
        )
        for one in told["deployments"]
    )
    return Route(told["name"], tuple(told["keys"]), tuple(deployments), frozenset(told["users"]))


def authorised(table: Table, endpoint_name: str, presented_secret: str) -> bool:
    """Whether this key or token may score on the endpoint, if there is one. It takes the same time if there is none.

    Of an endpoint that is not there only administrators are told so: it could be one that is denied to the
    others, USE on all endpoints or not.
    """
    presented = digest(presented_secret)
    route = table.routes.get(endpoint_name, _NOWHERE)
    user = table.tokens.get(presented)
    # A list, not a generator: everything is compared, whatever was right before.
    matches = [compare_digest(presented, key) for key in route.keys]
    return any([*matches, user in route.users, user in table.administrators])


def choose(
    route: Route, random: Random, busy: Callable[[str], int]
) -> tuple[Deployment, list[Replica]] | None:
    """Draw a deployment by its share of the traffic. Its ready replicas come with it, the least busy first.

    None: no deployment takes traffic. The list is empty when the chosen one has no ready replica: another
    deployment does not stand in for it, since who divides traffic wants to know that one is down.
    """
    taking = [deployment for deployment in route.deployments if deployment.traffic > 0]
    if not taking:
        return None
    [chosen] = random.choices(taking, [deployment.traffic for deployment in taking])
    return chosen, sorted(chosen.replicas, key=lambda one: (busy(one.address), random.random()))
