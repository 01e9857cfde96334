"""The people who ask, with all that MLflow's rules tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.live import Studio

ADMIN = "admin"
# What each of them may do on the experiment of a twin; the administrator may do everything.
ON_EXPERIMENT = {
    "manager": "MANAGE",
    "editor": "EDIT",
    "user": "USE",
    "reader": "READ",
    "denied": "DENY",
    "denied runs": "EDIT",
    "reader of runs": "EDIT",
    "editor of runs": "READ",
    "denied models": "EDIT",
}
# And everywhere. A grant on runs goes before one on their experiment.
ELSEWHERE = {
    "denied runs": ("run", "*", "DENY"),
    "reader of runs": ("run", "*", "READ"),
    "editor of runs": ("run", "*", "EDIT"),
    "denied models": ("logged_model", "*", "DENY"),
    "editor of everything": ("experiment", "*", "EDIT"),
    "manager of the workspace": ("workspace", "*", "MANAGE"),
    "user of the workspace": ("workspace", "*", "USE"),
    "denied experiments": ("experiment", "*", "DENY"),
}
STRANGER = "stranger"
EVERYBODY = [ADMIN, *dict.fromkeys([*ON_EXPERIMENT, *ELSEWHERE]), STRANGER]


@dataclass(frozen=True)
class Cast:
    """`names`: of their users. `tokens`: by the same words. `grants`: on the experiment of every twin, by role."""

    names: dict[str, str]
    tokens: dict[str, str]
    grants: list[tuple[int, str]]


def make_cast(live: Studio, connection: psycopg.Connection[Any]) -> Cast:
    names = {who: f"twins-{who.replace(' ', '-')}" for who in EVERYBODY} | {ADMIN: ADMIN}
    script = (
        "from studio.accounts.models import User\n"
        "from studio.accounts.services import issue_token\n"
        f"for name in {list(names.values())}:\n"
        "    user = User.objects.filter(username=name).first() or User.objects.create_user(name)\n"
        "    print('TOKEN', name, issue_token(user=user, label='test', by=user)[1])\n"
    )
    told = live.manage("shell", "-c", script).splitlines()
    tokens = dict(line.split()[1:] for line in told if line.startswith("TOKEN "))
    roles = {who: _role(connection, names[who]) for who in [*ON_EXPERIMENT, *ELSEWHERE]}
    for who, given in ELSEWHERE.items():
        connection.execute(_GRANT, [roles[who], *given])
    return Cast(
        names,
        {who: tokens[name] for who, name in names.items()},
        [(roles[who], permission) for who, permission in ON_EXPERIMENT.items()],
    )


def _role(connection: psycopg.Connection[Any], username: str) -> int:
    """The role that holds a user's own grants, as MLflow names it."""
    found = connection.execute(_ROLE, {"username": username}).fetchone()
    assert found is not None
    return int(found[0])


_ROLE = """
WITH u AS (SELECT id, '__user_' || id || '__' AS role FROM users WHERE username = %(username)s),
r AS (INSERT INTO roles (name, workspace) SELECT role, 'default' FROM u
      ON CONFLICT (workspace, name) DO UPDATE SET name = excluded.name RETURNING id),
a AS (INSERT INTO user_role_assignments (user_id, role_id) SELECT u.id, r.id FROM u, r ON CONFLICT DO NOTHING)
SELECT id FROM r
"""
_GRANT = """
INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)
VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
