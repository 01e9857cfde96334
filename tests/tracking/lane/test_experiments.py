"""experiments/create: rows as MLflow's server writes them, whoever else does the same at the same time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import pytest
from django.db import connection

from studio.accounts.models import MlflowUser, Role, RolePermission, User, UserRoleAssignment
from studio.accounts.permissions import Level, mlflow_level_on
from tests.support.grants import grant_mlflow
from tests.support.rows import make_experiment
from tracking.models import Experiment, ExperimentTag

ROUTE = "experiments/create"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def create(ask: Ask) -> Ask:
    return lambda user, name="trees", **more: ask(user, ROUTE, {"name": name, **more})


def made_by(told: tuple[int, Any]) -> Experiment:
    status, answer = told
    assert status == 200, answer
    return Experiment.objects.get(pk=answer["experiment_id"])


def refused(told: tuple[int, Any], code: str = "INVALID_PARAMETER_VALUE") -> str:
    """The message."""
    status, answer = told
    assert (status, answer["error_code"]) == (400, code)
    assert not any(sign in str(answer) for sign in ("SELECT", "INSERT", "psycopg"))
    return str(answer["message"])


def test_an_experiment_is_made_with_its_tags_and_belongs_to_who_made_it(
    create: Ask, bob: User
) -> None:
    tags = [{"key": "team", "value": "red"}, {"key": "note", "value": 'a "word", {b}'}]
    before = int(time() * 1000)
    made = made_by(create(bob, tags=tags))
    assert isinstance(create(bob, "others")[1]["experiment_id"], str)
    assert (made.name, made.workspace, made.lifecycle_stage) == ("trees", "default", "active")
    assert made.artifact_location == f"mlflow-artifacts:/{made.pk}"
    assert made.creation_time == made.last_update_time
    assert before <= (made.creation_time or 0) <= int(time() * 1000)
    found = ExperimentTag.objects.filter(experiment=made).values_list("key", "value")
    assert dict(found) == {"team": "red", "note": 'a "word", {b}'}
    assert mlflow_level_on(bob, "experiment", str(made.pk)) == Level.MANAGE


def test_the_grant_is_on_the_role_that_mlflow_keeps_for_one_user(
    create: Ask, bob: User, alice: User
) -> None:
    experiments = [made_by(create(bob, f"number {place}")).pk for place in range(3)]
    holder = MlflowUser.objects.get(username="bob")
    [role] = Role.objects.filter(name=f"__user_{holder.pk}__")
    assert (role.workspace, role.description) == ("default", None)
    assert UserRoleAssignment.objects.filter(user=holder, role=role).count() == 1
    granted = RolePermission.objects.filter(role=role).values_list(
        "resource_type", "resource_pattern", "permission"
    )
    assert set(granted) == {("experiment", str(pk), "MANAGE") for pk in experiments}
    made_by(create(alice, "an administrator's"))
    assert Role.objects.count() == 2


def test_a_role_of_his_that_another_holds_too_is_given_nothing(
    create: Ask, bob: User, alice: User
) -> None:
    grant_mlflow(bob, "experiment", 1, "READ")
    UserRoleAssignment.objects.create(
        user=MlflowUser.objects.get(username="alice"), role=Role.objects.get()
    )
    assert "'bob' alone is assigned to somebody else" in refused(create(bob))
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    ("grants", "may"),
    [
        ([], True),
        ([("experiment", "*", "READ")], True),
        ([("experiment", "*", "DENY")], False),
        ([("experiment", "7", "DENY")], True),
        ([("experiment", "*", "DENY"), ("workspace", "*", "USE")], False),
        ([("experiment", "*", "DENY"), ("workspace", "*", "MANAGE")], True),
        ([("run", "*", "DENY")], True),
    ],
)
def test_who_may_make_one(
    create: Ask, ask: Ask, bob: User, grants: list[tuple[str, str, str]], may: bool
) -> None:
    for grant in grants:
        grant_mlflow(bob, *grant)
    for body in ({}, {"name": 1}, b"[", b""):
        assert ask(bob, ROUTE, body)[0] == (400 if may else 403)
    if may:
        made_by(create(bob))
    else:
        assert create(bob) == (403, "Permission denied")
        assert not Experiment.objects.exists()


def test_a_denial_of_another_workspace_or_another_user_counts_for_nothing(
    create: Ask, bob: User, alice: User
) -> None:
    for user in (bob, alice):
        grant_mlflow(user, "experiment", "*", "DENY")
    Role.objects.filter(name=f"__user_{MlflowUser.objects.get(username='bob').pk}__").update(
        workspace="elsewhere"
    )
    made_by(create(bob))
    made_by(create(alice, "an administrator's"))


def test_a_name_is_taken_once_and_a_deleted_experiment_keeps_its_own(
    create: Ask, bob: User
) -> None:
    made_by(create(bob, tags=[{"key": "of", "value": "the first"}]))
    told = refused(create(bob, tags=[{"key": "a", "value": "b"}]), "RESOURCE_ALREADY_EXISTS")
    assert told == "Experiment(name=trees) already exists."
    Experiment.objects.update(lifecycle_stage="deleted")
    told = refused(create(bob), "RESOURCE_ALREADY_EXISTS")
    assert told.startswith("Experiment(name=trees) already exists. It is deleted")
    assert Experiment.objects.count() == ExperimentTag.objects.count() == 1
    assert RolePermission.objects.count() == 1
    make_experiment("of another workspace", workspace="elsewhere")
    made_by(create(bob, "of another workspace"))


def test_many_at_once_share_one_role(
    create: Ask, bob: User, at_once: Callable[..., list[Any]]
) -> None:
    told = at_once(*(partial(create, bob, f"number {place}") for place in range(20)))
    made = {made_by(each).pk for each in told}
    assert len(made) == 20
    assert Role.objects.count() == UserRoleAssignment.objects.count() == 1
    assert RolePermission.objects.filter(role=Role.objects.get()).count() == 20
    assert all(mlflow_level_on(bob, "experiment", str(pk)) == Level.MANAGE for pk in made)


def test_of_many_with_one_name_one_makes_it(
    create: Ask, bob: User, alice: User, at_once: Callable[..., list[Any]]
) -> None:
    told = at_once(*(partial(create, user) for user in [bob, alice] * 10))
    assert sorted(status for status, _ in told) == [200] + [400] * 19
    assert {answer["error_code"] for status, answer in told if status == 400} == {
        "RESOURCE_ALREADY_EXISTS"
    }
    assert Experiment.objects.count() == RolePermission.objects.count() == 1


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("/srv/models", "/srv/models"),
        ("file:///srv/models", "file:///srv/models"),
        ("trees", f"{Path.cwd()}/trees"),
        ("file:trees", f"file://{Path.cwd()}/trees"),
        ("mlflow-artifacts:/trees", "mlflow-artifacts:/trees"),
        ("", None),
        (None, None),
    ],
)
def test_a_location_is_kept_as_mlflow_keeps_it(
    create: Ask, bob: User, location: str | None, kept: str | None
) -> None:
    made = made_by(create(bob, artifact_location=location))
    assert made.artifact_location == (kept or f"mlflow-artifacts:/{made.pk}")


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("s3://bucket/a#b", "can't include fragments or params"),
        ("http://bucket/a;b", "can't include fragments or params"),
        ("s3://bucket/a?b=%252e%252e/c", "Invalid query string"),
        ("ftp://example.org/a", "cannot use the 'ftp' scheme"),
        ("mlflow-artifacts://example.org/a", "cannot use the 'mlflow-artifacts' scheme"),
        ("runs:/a/b", "cannot be a runs:/ URI"),
        ("http://[", "is no address"),
        ("file://example.org/a", "is not a valid remote uri"),
        ("s3://bucket/a?b=%" + "25" * 12, "is no address"),
        ("x" * 2049, "cannot be greater than 2048"),
    ],
)
def test_a_location_that_is_none_is_refused(
    create: Ask, bob: User, location: str, told: str
) -> None:
    assert told in refused(create(bob, artifact_location=location))
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"name": "x" * 257},
        {"name": "a\0b"},
        {"artifact_location": "/" + "x" * 256},
        {"artifact_location": "/a\0b"},
        {"tags": [{"key": "a", "value": "a\0b"}]},
    ],
)
def test_what_the_database_cannot_hold_is_refused_in_words(
    create: Ask, bob: User, given: dict[str, Any]
) -> None:
    assert refused(create(bob, **given), "BAD_REQUEST").startswith("This cannot be stored: ")
    assert not Experiment.objects.exists()
    assert not Role.objects.exists()


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ([{"value": "b"}], "Invalid value \"\" for parameter 'key'"),
        ([{"key": "a!b", "value": "b"}], 'Invalid value "a!b" for parameter'),
        ([{"key": "x" * 251}], "'key' exceeds the maximum length of 250"),
        ([{"key": "a", "value": "x" * 20001}], "'value' exceeds the maximum length of 20000"),
        ([{"key": f"mlflow.customView.view{n}"} for n in range(51)], "is 50. Delete an existing"),
        ({"key": "a"}, "for parameter 'tags'"),
    ],
)
def test_bad_tags_are_refused(create: Ask, bob: User, tags: Any, told: str) -> None:
    assert told in refused(create(bob, tags=tags))
    assert not Experiment.objects.exists()


def test_a_tag_twice_is_refused_with_mlflows_code(create: Ask, bob: User) -> None:
    twice = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    told = refused(create(bob, tags=twice), "RESOURCE_ALREADY_EXISTS")
    assert told == "Experiment(name=trees) cannot be made: the tag 'a' is given twice."


def test_names_are_any_text(create: Ask, bob: User) -> None:
    for name in ("😀", "'; DROP TABLE experiments; --", "50%s", 'a"\\b', "a\nb", " "):
        assert made_by(create(bob, name)).name == name


def test_a_user_who_is_not_let_in_makes_nothing(ask: Ask, bob: User) -> None:
    from studio.lane.asking import Stranger

    User.objects.filter(pk=bob.pk).update(is_active=False)
    for body in ({"name": "trees"}, {}):
        with pytest.raises(Stranger):
            ask(bob, ROUTE, body)
    assert not Experiment.objects.exists()


def test_ids_go_on_from_where_mlflow_is(create: Ask, bob: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('experiments_experiment_id_seq')")
        last = cursor.fetchone()[0]
    assert made_by(create(bob)).pk == last + 1
