"""A user of Studio's and its row in MLflow's table are one thing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from mlflow.server.auth.sqlalchemy_store import _RETAINED_LEGACY_PERMISSION_TABLES

from studio.accounts.hashes import UNUSABLE_HASH
from studio.accounts.models import LEGACY_GRANTS, MlflowUser, User
from studio.accounts.services import ensure_first_administrator

pytestmark = pytest.mark.django_db


def row_of(username: str) -> MlflowUser:
    return MlflowUser.objects.get(username=username)


def sql(statement: str, *values: str | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_a_new_user_is_known_to_mlflow_without_a_password() -> None:
    User.objects.create_user("carol", password="a long enough password")  # noqa: S106
    assert row_of("carol").password_hash == UNUSABLE_HASH
    assert row_of("carol").is_admin is False


def test_an_administrator_is_one_in_mlflow_too() -> None:
    user = User.objects.create_superuser("carol")
    assert row_of("carol").is_admin is True
    user.is_superuser = False
    user.save()
    assert row_of("carol").is_admin is False
    user.is_superuser = True
    user.save(update_fields=["is_superuser"])
    assert row_of("carol").is_admin is True


def test_an_administrator_who_is_deactivated_is_none_in_mlflow() -> None:
    user = User.objects.create_superuser("carol")
    user.is_active = False
    user.save()
    assert row_of("carol").is_admin is False


def test_saving_again_keeps_the_row_that_grants_refer_to() -> None:
    user = User.objects.create_user("carol")
    before = row_of("carol").pk
    user.set_password("another long password")
    user.save()
    assert row_of("carol").pk == before
    assert MlflowUser.objects.filter(username="carol").count() == 1


def test_a_row_that_mlflow_has_already_is_taken_over() -> None:
    kept = MlflowUser.objects.create(username="carol", password_hash="scrypt:x", is_admin=True)  # noqa: S106
    User.objects.create_user("carol")
    assert row_of("carol").pk == kept.pk
    assert row_of("carol").is_admin is False
    assert row_of("carol").password_hash == "scrypt:x"


def test_a_user_who_is_deleted_is_gone_from_mlflow() -> None:
    User.objects.create_user("carol").delete()
    assert not MlflowUser.objects.filter(username="carol").exists()
    assert not User.objects.filter(username="carol").exists()


def test_grants_go_with_their_user_and_those_of_others_stay() -> None:
    carol, dave = (User.objects.create_user(name) for name in ("carol", "dave"))
    for user in (carol, dave):
        pk = row_of(user.username).pk
        sql("INSERT INTO roles (name, workspace) VALUES (%s, 'default')", f"__user_{pk}__")
        role = "(SELECT id FROM roles WHERE name = %s)"
        sql(
            f"INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) VALUES ({role}, 'experiment', '1', 'MANAGE')",  # noqa: S608
            f"__user_{pk}__",
        )
        sql(
            f"INSERT INTO user_role_assignments (user_id, role_id) VALUES (%s, {role})",  # noqa: S608
            pk,
            f"__user_{pk}__",
        )
        sql(
            "INSERT INTO experiment_permissions (experiment_id, user_id, permission) VALUES ('1', %s, 'READ')",
            pk,
        )
    sql("INSERT INTO roles (name, workspace) VALUES ('team', 'default')")
    sql(
        "INSERT INTO user_role_assignments (user_id, role_id) SELECT users.id, roles.id FROM users, roles WHERE roles.name = 'team'"
    )
    carol.delete()
    dave_pk = row_of("dave").pk
    left = {
        "SELECT name FROM roles": [(f"__user_{dave_pk}__",), ("team",)],
        "SELECT DISTINCT user_id FROM user_role_assignments": [(dave_pk,)],
        "SELECT count(*) FROM role_permissions": [(1,)],
        "SELECT user_id FROM experiment_permissions": [(dave_pk,)],
    }
    for query, rows in left.items():
        with connection.cursor() as cursor:
            cursor.execute(query)
            assert sorted(cursor.fetchall()) == rows, query


def test_every_table_that_refers_to_mlflows_users_is_known() -> None:
    assert set(LEGACY_GRANTS) == set(_RETAINED_LEGACY_PERMISSION_TABLES)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint"
            " WHERE contype = 'f' AND confrelid = 'users'::regclass"
        )
        referring = {name for (name,) in cursor.fetchall()}
    assert referring <= {*LEGACY_GRANTS, "user_role_assignments"}


def test_a_user_that_is_not_kept_leaves_nothing() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        User.objects.create_user("carol")
        raise RuntimeError
    assert not User.objects.filter(username="carol").exists()
    assert not MlflowUser.objects.filter(username="carol").exists()


def test_a_user_that_mlflows_table_refuses_is_not_made() -> None:
    sql("ALTER TABLE users ADD CHECK (username <> 'carol')")
    with pytest.raises(IntegrityError):
        User.objects.create_user("carol")
    assert not User.objects.filter(username="carol").exists()


def test_a_deletion_that_fails_leaves_both(alice: User) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        alice.delete()
        raise RuntimeError
    assert User.objects.filter(username="alice").exists()
    assert row_of("alice").is_admin is True


@pytest.mark.parametrize(
    "there", [lambda: None, lambda: User.objects.create_superuser("gone", is_active=False)]
)
def test_the_first_administrator_is_made_when_nobody_is_one(there: Callable[[], object]) -> None:
    there()
    assert ensure_first_administrator(username="admin", password="a long enough password")  # noqa: S106
    assert User.objects.get(username="admin").check_password("a long enough password")
    assert not ensure_first_administrator(username="second", password="x")  # noqa: S106
    assert not User.objects.filter(username="second").exists()
