"""Levels that are computed in SQL are those of MLflow's own functions, and open what they should."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as some
from mlflow.server.auth.permissions import NO_PERMISSIONS, GrantLoadKey
from mlflow.server.auth.requirements import (
    ACTION_NOT_DENIED,
    Requirement,
    fold_grants_for_key,
    is_workspace_admin_grant,
    requirement_satisfied,
    requirements_to_grant_load_keys,
)

from studio.accounts.models import (
    Grant,
    MlflowUser,
    Permission,
    Role,
    RolePermission,
    User,
    UserRoleAssignment,
)
from studio.accounts.permissions import ANY, WORKSPACE, Level, mlflow_level, studio_level

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of its libraries

EXPERIMENT, OTHER = "7", "71"
PERMISSIONS = ["READ", "USE", "EDIT", "MANAGE", "DENY"]
# The least action of MLflow's that each level allows.
ACTIONS = {Level.READ: "read", Level.USE: "use", Level.EDIT: "update", Level.MANAGE: "manage"}


class Row(NamedTuple):
    """As MLflow's own store gives a grant to its functions."""

    resource_type: str
    resource_pattern: str
    permission: str


@some.composite
def grants(draw: some.DrawFn) -> Row:
    kind = draw(some.sampled_from(["experiment", "run", "logged_model", "workspace"]))
    if kind == "workspace":
        return Row(kind, ANY, draw(some.sampled_from(["USE", "MANAGE"])))
    patterns = [ANY] if kind != "experiment" else [EXPERIMENT, OTHER, ANY]
    return Row(kind, draw(some.sampled_from(patterns)), draw(some.sampled_from(PERMISSIONS)))


def level_by_mlflow(rows: Sequence[Row], part: str) -> Level:
    """The highest level whose requirements MLflow's own functions find satisfied."""
    reached = [level for level, action in ACTIONS.items() if satisfied(rows, part, action)]
    return max(reached, default=Level.NONE)


def satisfied(rows: Sequence[Row], part: str, action: str) -> bool:
    whole = ("experiment", EXPERIMENT)
    needed = [Requirement(*whole, "read" if part else action)]
    if part:
        needed.append(Requirement(part, ANY, action, fallback_if_no_grant=(whole,)))
    if any(is_workspace_admin_grant(row) for row in rows):
        return True  # as in mlflow.server.auth.resolve_permissions
    keys = requirements_to_grant_load_keys(needed)
    folded = {key: fold_grants_for_key(rows, key) for key in keys}
    return all(
        requirement_satisfied(one, folded, NO_PERMISSIONS.name, NO_PERMISSIONS) for one in needed
    )


@pytest.fixture
def carol(db: None) -> User:
    """Holds three roles."""
    user = User.objects.create_user("carol")
    for name in ("first", "second", "third"):
        role = Role.objects.create(name=name, workspace=WORKSPACE)
        UserRoleAssignment.objects.create(user=MlflowUser.objects.get(username="carol"), role=role)
    return user


def hold(rows: Sequence[Row]) -> None:
    """Spread the grants over the roles: a role holds one grant a resource."""
    RolePermission.objects.all().delete()
    roles = itertools.cycle(Role.objects.order_by("pk"))
    made = {
        (role.pk, *row[:2]): RolePermission(role=role, **row._asdict())
        for role, row in zip(roles, rows, strict=False)
    }
    RolePermission.objects.bulk_create(made.values())


def held() -> list[Row]:
    return [
        Row(*row)
        for row in RolePermission.objects.values_list(
            "resource_type", "resource_pattern", "permission"
        )
    ]


def level(user: User, part: str) -> Level:
    """What SQL computes, in the statement and in the function that keeps its plan."""
    # Any row that has a column with the experiment's id: the user's own name is made to be one.
    User.objects.filter(pk=user.pk).update(last_name=EXPERIMENT)
    own = mlflow_level(user, "experiment", "last_name", part)
    asked = User.objects.annotate(own=own, one=own.of_one()).filter(pk=user.pk)
    [(many, one)] = asked.values_list("own", "one")
    assert many == one
    return Level(many)


def test_every_set_of_grants_gives_the_level_that_mlflow_gives(carol: User) -> None:
    compared = 0

    @seed(20261124)
    @settings(max_examples=500, deadline=None, database=None)
    @given(
        rows=some.lists(grants(), max_size=7), part=some.sampled_from(["", "run", "logged_model"])
    )
    def compare(rows: list[Row], part: str) -> None:
        nonlocal compared
        hold(rows)
        assert level(carol, part) == level_by_mlflow(held(), part)
        compared += 1

    compare()
    assert compared >= 500


def test_a_version_is_not_denied_by_mlflow_where_its_model_can_be_read() -> None:
    """Of a version MLflow asks READ of the model and no DENY on versions: the same two rungs."""
    for own in [*PERMISSIONS, None]:
        rows = [Row("registered_model", ANY, "READ")]
        rows += [Row("registered_model_version", ANY, own)] if own else []
        denied = fold_grants_for_key(rows, GrantLoadKey("registered_model_version", ANY))
        requirement = Requirement("registered_model_version", ANY, ACTION_NOT_DENIED)
        keys = {GrantLoadKey("registered_model_version", ANY): denied}
        told = requirement_satisfied(requirement, keys, NO_PERMISSIONS.name, NO_PERMISSIONS)
        assert told == (own != "DENY")


def test_another_users_role_another_workspace_and_no_role_give_nothing(carol: User) -> None:
    hold([Row("experiment", EXPERIMENT, "MANAGE")])
    assert level(User.objects.create_user("dave"), "") == Level.NONE
    Role.objects.update(workspace="elsewhere")
    assert level(carol, "") == Level.NONE


def studio(user: User, resource: str) -> Level:
    User.objects.filter(pk=user.pk).update(last_name="3")
    asked = User.objects.annotate(own=studio_level(user, "endpoint", resource))
    return Level(asked.values_list("own", flat=True).get(pk=user.pk))


def combinations() -> Iterator[tuple[str | None, str | None, Level]]:
    """What stands on one endpoint, on all of them, and the level on the one."""
    for one, every in itertools.product([*PERMISSIONS, None], repeat=2):
        given = [word for word in (one, every) if word]
        denied = "DENY" in given
        levels = [Level[word] for word in given if word != "DENY"]
        yield one, every, Level.NONE if denied else max(levels, default=Level.NONE)


@pytest.mark.parametrize(("one", "every", "expected"), list(combinations()))
def test_studios_own_grants_fold_the_same_way(
    db: None, one: str | None, every: str | None, expected: Level
) -> None:
    user = User.objects.create_user("carol")
    for identifier, word in (("3", one), (ANY, every), ("31", "MANAGE")):
        if word:
            Grant.objects.create(
                user=user,
                resource_type="endpoint",
                resource_id=identifier,
                permission=Permission(word),
            )
    Grant.objects.create(
        user=user, resource_type="job", resource_id="3", permission=Permission.MANAGE
    )
    assert studio(user, "last_name") == expected
    alone = Level.NONE if every in (None, "DENY") else Level[every]
    assert studio(user, ANY) == alone
