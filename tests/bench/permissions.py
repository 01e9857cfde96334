"""What the permission check adds to a request, where many people have many grants."""

from __future__ import annotations

import json

from django.db import connection

from studio.accounts.models import MlflowUser, Role, RolePermission, User, UserRoleAssignment
from studio.accounts.permissions import WORKSPACE
from tests.bench.timing import Caller, Result, take_turns
from tests.support.live import Studio
from tests.support.rows import log_metric, make_experiment, make_run

USERS, ROLES, GRANTS, HELD = 1_000, 200, 5_000, 5  # HELD: roles of each user
ROUNDS, EACH = 60, 50
MARK = 0.3  # milliseconds at p50


def measure(studio: Studio) -> list[Result]:
    """The series route, which charts ask: as an administrator, of whom no grants are read, and as a user."""
    fill = "from tests.bench.permissions import fill; print(fill())"
    made = json.loads(studio.manage("shell", "--verbosity=0", "-c", fill))
    wanted = {"runs": [made["run"]], "keys": ["loss"], "axis": "step", "buckets": 500}
    question = json.dumps(wanted).encode()
    administrator = Caller(studio.url, studio.token())
    user = Caller(studio.url, studio.token(made["user"]))
    assert administrator.post("/series/", question) == user.post("/series/", question)
    sides = {
        "no grants read": lambda: administrator.post("/series/", question),
        f"user with {HELD} roles": lambda: user.post("/series/", question),
    }
    taken = take_turns(sides, rounds=ROUNDS, each=EACH)
    without, checked = (seconds * 1000 for seconds in taken.values())
    administrator.close()
    user.close()
    return [
        Result(
            f"series route: permission check among {GRANTS} grants, p50",
            {name: f"{seconds * 1000:.2f} ms" for name, seconds in taken.items()},
            checked - without,
            "ms",
            "at most",
            MARK,
        )
    ]


def fill() -> str:
    """Make the users, their roles and grants, and a run that one of them may read. Runs in a process of Studio."""
    experiment = make_experiment()
    run = make_run(experiment)
    log_metric(run, "loss", [1 / (step + 1) for step in range(200)])
    users = _make_users()
    roles = Role.objects.bulk_create(
        Role(name=f"role-{number}", workspace=WORKSPACE) for number in range(ROLES)
    )
    _make_grants(roles, experiment.pk)
    UserRoleAssignment.objects.bulk_create(
        UserRoleAssignment(user=user, role=roles[(place + 37 * held) % ROLES])
        for place, user in enumerate(users)
        for held in range(HELD)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as PostgreSQL does by itself, a minute later
    return json.dumps({"user": users[0].username, "run": run.pk})


def _make_users() -> list[MlflowUser]:
    names = [f"user-{number}" for number in range(USERS)]
    User.objects.bulk_create(User(username=name, password="!") for name in names)
    return MlflowUser.objects.bulk_create(
        MlflowUser(username=name, password_hash="!", is_admin=False) for name in names
    )


def _make_grants(roles: list[Role], experiment: int) -> None:
    """25 a role, on experiments and models. The one on this experiment is the first role's, which the first user holds."""
    each = GRANTS // ROLES
    RolePermission.objects.bulk_create(
        RolePermission(
            role=role,
            resource_type="experiment" if number % 2 == 0 else "registered_model",
            resource_pattern=str(experiment + place * each + number),
            permission="READ",
        )
        for place, role in enumerate(roles)
        for number in range(each)
    )
