"""MLflow's users become Studio's, with the passwords they have, and can go back with them."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.cache import cache
from django.db import connection
from django.test import Client
from mlflow.server.auth.sqlalchemy_store import check_password_hash, generate_password_hash
from pytest_django import Settings

from studio.accounts import hashes, limiter, services
from studio.accounts.adoption import Adopted, adopt_users
from studio.accounts.credentials import user_from_header
from studio.accounts.models import ADOPTED, AuditEvent, MlflowUser, User
from studio.lib.errors import Conflict, TooManyAttempts

pytestmark = pytest.mark.django_db

OLD = "short123"  # MLflow asks for 8 characters
NEW = "a longer password"


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 2


@pytest.fixture(autouse=True)
def real_hashes(settings: Settings) -> Iterator[None]:
    """Of the kind that Studio makes, but quick."""
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickHasher"]
    cache.clear()
    yield


def mlflows(
    name: str | None, password: str | None = OLD, is_admin: bool | None = False
) -> MlflowUser:
    """A user as MLflow makes one."""
    stored = None
    if password is not None:
        method, salt, digest = generate_password_hash(password).split("$")
        assert method == "scrypt:32768:8:1"
        stored = f"{method}${salt}${digest}"
    return MlflowUser.objects.create(username=name, password_hash=stored, is_admin=is_admin)


def basic(name: str, password: str) -> User | None:
    given = base64.b64encode(f"{name}:{password}".encode()).decode()
    return user_from_header(f"Basic {given}")


def rows() -> list[tuple[object, ...]]:
    return list(
        MlflowUser.objects.order_by("pk").values_list("pk", "username", "password_hash", "is_admin")
    )


def stored(name: str) -> str:
    return MlflowUser.objects.get(username=name).password_hash or ""


def test_users_come_with_their_rank_and_mlflows_rows_stay_as_they_are() -> None:
    mlflows("root", is_admin=True)
    mlflows("ann")
    mlflows("bea", is_admin=None)
    before = rows()
    adopted = adopt_users()
    assert adopted == Adopted(["root", "ann", "bea"], ["root"], [], [])
    assert adopted.told() == ["Adopted 3 users of MLflow's, 1 of them administrators."]
    assert rows() == before
    found = User.objects.order_by("username").values_list("username", "is_superuser", "is_active")
    assert list(found) == [("ann", False, True), ("bea", False, True), ("root", True, True)]
    event = AuditEvent.objects.get()
    assert (event.actor, event.action) == ("the command line", "user.adopt")
    assert event.target == "3 users of MLflow's; administrators: root"


def test_a_second_time_there_is_nothing_to_do() -> None:
    mlflows("ann")
    adopt_users()
    assert adopt_users() == Adopted([], [], [], [])
    assert adopt_users().told() == []
    mlflows("late")
    assert adopt_users().users == ["late"]
    assert User.objects.count() == 2


def test_users_whom_studio_has_already_are_not_touched(alice: User) -> None:
    before = alice.password
    assert adopt_users().users == []
    alice.refresh_from_db()
    assert alice.password == before


def test_the_first_sign_in_by_the_page_checks_mlflows_hash_and_the_next_studios() -> None:
    mlflows("ann")
    before = rows()
    adopt_users()
    client = Client()
    form = {"username": "ann", "password": OLD}
    assert client.post("/login/", form | {"password": "wrong"}).status_code == 200
    assert User.objects.get().password == ADOPTED
    assert client.post("/login/", form).status_code == 302
    assert client.get("/settings/tokens/").status_code == 200
    ann = User.objects.get()
    assert ann.password.startswith("pbkdf2_sha256$")
    MlflowUser.objects.update(password_hash=hashes.UNUSABLE_HASH)
    assert Client().post("/login/", form).status_code == 302
    MlflowUser.objects.update(password_hash=before[0][2])
    assert rows() == before


def test_the_first_sign_in_by_basic_is_remembered_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflows("ann")
    adopt_users()
    assert basic("ann", "wrong") is None
    assert basic("ann", OLD) == User.objects.get()
    monkeypatch.setattr(User, "check_password", None)  # asked again it would fail
    assert basic("ann", OLD) == User.objects.get()


def test_guesses_are_limited_for_them_too() -> None:
    mlflows("ann")
    adopt_users()
    for _ in range(limiter.ALLOWED):
        assert basic("ann", "wrong") is None
    with pytest.raises(TooManyAttempts):
        basic("ann", OLD)


def test_of_two_first_sign_ins_at_once_both_are_let_in() -> None:
    mlflows("ann")
    adopt_users()
    one, other = User.objects.get(), User.objects.get()
    assert one.check_password(OLD)
    assert other.check_password(OLD)
    assert one.password == other.password
    assert not other.check_password("wrong")


def test_who_does_not_know_the_password_is_answered_at_the_same_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflows("ann")
    adopt_users()
    hashed = []
    encode = QuickHasher.encode

    def counting(self: QuickHasher, password: str, salt: str, iterations: int | None = None) -> str:
        hashed.append(password)
        return encode(self, password, salt, iterations)

    monkeypatch.setattr(QuickHasher, "encode", counting)
    for name in ("ann", "nobody"):
        basic(name, "wrong")
    assert hashed == ["wrong", "wrong"]


@pytest.mark.parametrize("first_sign_in", [True, False])
def test_a_password_changed_in_studio_is_the_one_that_mlflow_would_take(
    first_sign_in: bool, alice: User
) -> None:
    mlflows("ann")
    adopt_users()
    if first_sign_in:
        assert basic("ann", OLD)
    ann = User.objects.get(username="ann")
    services.set_password(user=ann, password=NEW, by=alice)
    assert basic("ann", OLD) is None
    assert basic("ann", NEW) == ann
    assert check_password_hash(stored("ann"), NEW)
    assert not check_password_hash(stored("ann"), OLD)
    assert stored("alice") == hashes.UNUSABLE_HASH  # of a user that Studio made


def test_a_password_that_is_taken_away_is_taken_from_mlflow_too() -> None:
    mlflows("ann")
    adopt_users()
    ann = User.objects.get()
    ann.set_unusable_password()
    ann.save()
    assert stored("ann") == hashes.UNUSABLE_HASH
    assert basic("ann", OLD) is None


def test_what_is_no_password_changes_nothing_in_mlflows_row() -> None:
    mlflows("ann")
    before = rows()
    adopt_users()
    ann = User.objects.get()
    ann.first_name = "Ann"
    ann.save()
    assert rows() == before


@pytest.mark.parametrize(
    "name",
    ["john smith", "a/b", "", "..", "x" * 151, "ﬁsh", "tab\there"],
    ids=["space", "slash", "empty", "dots", "long", "ligature", "tab"],
)
def test_a_name_that_studio_does_not_allow_stays_mlflows_and_is_told(name: str) -> None:
    mlflows(name)
    mlflows("ann")
    before = rows()
    adopted = adopt_users()
    assert (adopted.users, adopted.refused) == (["ann"], [name])
    assert repr(name) in adopted.told()[1]
    assert rows() == before
    MlflowUser.objects.filter(username=name).update(username="renamed")
    assert adopt_users().users == ["renamed"]
    assert basic("renamed", OLD)


def test_names_that_differ_in_case_are_two_users_as_they_are_in_mlflow() -> None:
    mlflows("Ann", "of the first one")
    mlflows("ann", "of the second one")
    adopt_users()
    assert basic("Ann", "of the first one") == User.objects.get(username="Ann")
    assert basic("ann", "of the second one") == User.objects.get(username="ann")
    assert basic("ann", "of the first one") is None


@pytest.mark.parametrize(
    "kept",
    [None, "", "!", "x$y$z", "scrypt:3:1:1$salt$00", "pbkdf2:none:1$salt$00", "scrypt:x$s$h"],
)
def test_a_row_without_a_hash_of_mlflows_lets_nobody_in(kept: str | None) -> None:
    MlflowUser.objects.create(username="ann", password_hash=kept, is_admin=False)
    assert adopt_users().users == ["ann"]
    assert basic("ann", "") is None
    assert basic("ann", "x") is None
    assert basic("ann", kept or "") is None
    link = services.make_password_link(user=User.objects.get(), by=None)
    services.use_password_link(secret=link.url.partition("link=")[2], password=NEW)
    assert basic("ann", NEW)


def test_a_row_without_a_name_is_nobody() -> None:
    mlflows(None)
    assert adopt_users() == Adopted([], [], [], [])


def test_an_administrator_with_the_password_that_everybody_knows_is_not_let_in_with_it() -> None:
    mlflows("root", hashes.MLFLOWS_DEFAULT, is_admin=True)
    mlflows("ann", hashes.MLFLOWS_DEFAULT)
    adopted = adopt_users()
    assert adopted.exposed == ["root"]
    assert "manage.py password-link root" in adopted.told()[1]
    assert basic("root", hashes.MLFLOWS_DEFAULT) is None
    assert basic("ann", hashes.MLFLOWS_DEFAULT)  # as MLflow, which asks of administrators alone


def test_an_administrator_of_mlflows_is_the_first_one() -> None:
    mlflows("admin", is_admin=True)
    adopt_users()
    assert not services.ensure_first_administrator(username="admin", password=NEW)
    assert not services.ensure_first_administrator(username="another", password=NEW)
    assert basic("admin", NEW) is None
    assert basic("admin", OLD)


def test_where_no_administrator_can_get_in_the_named_one_is_given_the_password() -> None:
    mlflows("admin", None, is_admin=True)  # as a Studio leaves it that has given the database back
    adopt_users()
    assert services.ensure_first_administrator(username="admin", password=NEW)
    assert basic("admin", NEW)
    assert not services.ensure_first_administrator(username="admin", password="another one of it")


def test_a_user_of_mlflows_does_not_become_administrator_by_the_name_in_a_setting() -> None:
    mlflows("admin")
    adopt_users()
    with pytest.raises(Conflict, match="STUDIO_ADMIN_USERNAME"):
        services.ensure_first_administrator(username="admin", password=NEW)
    assert not User.objects.get().is_superuser
    assert services.ensure_first_administrator(username="another", password=NEW)


def test_users_are_adopted_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflows("ann")
    monkeypatch.setattr("studio.accounts.adoption.record", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        adopt_users()
    assert not User.objects.exists()


def test_a_thousand_users_take_a_few_statements(django_assert_max_num_queries: object) -> None:
    many = (MlflowUser(username=f"u{n}", password_hash="x$y$z") for n in range(1000))
    MlflowUser.objects.bulk_create(many)
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        assert len(adopt_users().users) == 1000
    assert connection.in_atomic_block


@pytest.mark.parametrize("password", [NEW, "größe ✓", "$:$"])
def test_a_hash_of_djangos_is_checked_by_mlflow(password: str) -> None:
    encoded = QuickHasher().encode(password, "salt")
    assert check_password_hash(hashes.for_mlflow(encoded), password)
    assert not check_password_hash(hashes.for_mlflow(encoded), password + " ")
    assert hashes.is_hash(hashes.for_mlflow(encoded))


@pytest.mark.parametrize(
    "encoded", ["", "!", "!abc", ADOPTED, "md5$a$b", "pbkdf2_sha256$1$x", "pbkdf2_sha256$1$x$?"]
)
def test_of_anything_else_there_is_no_hash_for_mlflow(encoded: str) -> None:
    assert hashes.for_mlflow(encoded) == hashes.UNUSABLE_HASH
