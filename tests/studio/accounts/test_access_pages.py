"""The access pages of experiments, models and endpoints: who may see them, and what they show."""

from __future__ import annotations

import gc

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from studio.accounts.models import AuditEvent, Grant, MlflowUser, Role, RolePermission, User
from tests.support.grants import Thing, grant_mlflow, make_thing
from tests.support.pages import Page, page
from tests.support.rows import make_experiment

KINDS = ["experiment", "registered_model", "endpoint"]
MLFLOWS = KINDS[:2]
BELOW = ["READ", "USE", "EDIT"]


@pytest.fixture(params=KINDS)
def thing(request: pytest.FixtureRequest, alice: User) -> Thing:
    return make_thing(request.param, alice)


@pytest.fixture
def mona(db: None) -> User:
    return User.objects.create_user("mona")


@pytest.fixture
def as_mona(mona: User) -> Client:
    client = Client()
    client.force_login(mona)
    return client


def grants() -> list[object]:
    return [
        *RolePermission.objects.order_by("pk").values(),
        *Grant.objects.order_by("pk").values(),
    ]


def rows(read: Page) -> list[tuple[str, str, str]]:
    """User, permission and how, of each line. In a select it is the chosen one that counts."""
    found = []
    cells = [element for element in read.elements if element.tag in ("td", "option")]
    chosen = ""
    texts: list[str] = []
    for cell in cells:
        if cell.tag == "option":
            chosen = cell.text if "selected" in cell.attributes else chosen
            continue
        texts.append(" ".join(cell.text.split()))
        if len(texts) == 3:
            found.append((texts[0], chosen or texts[1], texts[2]))
            chosen, texts = "", []
    return found


def shown(client: Client, thing: Thing, **query: str) -> Page:
    response = client.get(thing.page, query)
    assert response.status_code == 200
    return page(response)


# Who may.


@pytest.mark.parametrize("method", ["get", "post"])
def test_administrators_and_who_has_manage_are_let_in(
    as_alice: Client, as_mona: Client, mona: User, thing: Thing, method: str
) -> None:
    thing.give(mona, "MANAGE")
    for client in (as_alice, as_mona):
        # 422: the empty form of a POST is looked at.
        assert getattr(client, method)(thing.page).status_code == (200 if method == "get" else 422)
        read = page(client.get(thing.path))
        assert read.link("Access") == thing.page


@pytest.mark.parametrize("word", BELOW)
def test_who_has_less_is_told_so_and_changes_nothing(
    as_mona: Client, mona: User, bob: User, thing: Thing, word: str
) -> None:
    thing.give(mona, word)
    before = grants()
    given = {"username": "bob", "permission": "READ"}
    for response in (
        as_mona.get(thing.page),
        as_mona.post(thing.page, given),
        as_mona.post(thing.page, {"username": "mona", "permission": "MANAGE"}),
        as_mona.post(thing.page, {"username": "mona", "remove": "yes", "sure": "yes"}),
    ):
        assert response.status_code == 403
        assert f"This needs MANAGE on secret, and you have {word}." in response.content.decode()
    assert grants() == before
    assert not AuditEvent.objects.exists()
    opened = as_mona.get(thing.path)
    assert opened.status_code == 200
    assert "Access" not in page(opened).texts("a")


@pytest.mark.parametrize("denied", [False, True])
def test_a_stranger_is_told_nothing_and_changes_nothing(
    as_mona: Client, mona: User, bob: User, thing: Thing, denied: bool
) -> None:
    if denied:
        thing.give_all(mona, "MANAGE")
        thing.give(mona, "DENY")
    before = grants()
    missing = thing.page.replace(thing.path, "/".join([*thing.path.split("/")[:2], "987654", ""]))
    for method in ("get", "post"):
        given = {"username": "mona", "permission": "MANAGE"}
        there = getattr(as_mona, method)(thing.page, given)
        nowhere = getattr(as_mona, method)(missing, given)
        assert there.status_code == nowhere.status_code == 404
        name = thing.path.split("/")[2]
        assert page(there).texts("main") == [
            told.replace("987654", name) for told in page(nowhere).texts("main")
        ]
    assert grants() == before
    assert not AuditEvent.objects.exists()


def test_nobody_is_sent_to_sign_in(client: Client, thing: Thing) -> None:
    for method in ("get", "post"):
        assert getattr(client, method)(thing.page)["Location"] == f"/login/?next={thing.page}"


def test_a_form_that_came_from_elsewhere_is_refused(alice: User, bob: User, thing: Thing) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)
    given = {"username": "bob", "permission": "MANAGE"}
    assert careful.post(thing.page, given).status_code == 403
    assert not AuditEvent.objects.exists()


# What it shows.


def test_it_shows_who_has_what_and_by_what(
    as_alice: Client, thing: Thing, mona: User, bob: User
) -> None:
    carol = User.objects.create_user("carol", is_active=False)
    thing.give(bob, "READ")
    thing.give_all(bob, "EDIT")
    thing.give(carol, "DENY")
    noun = {"registered_model": "models"}.get(thing.kind, f"{thing.kind}s")
    found = rows(shown(as_alice, thing))
    direct = [("alice", "Manage", "given here")] if thing.kind == "endpoint" else []
    assert found == [
        *direct,
        ("alice", "Manage", "administrator"),
        ("bob", "Read", "given here"),
        ("bob", "Edit", f"given on all {noun}"),
        ("carol Disabled", "Deny", "given here"),
    ]


def test_only_what_was_given_here_can_be_changed_here(
    as_alice: Client, thing: Thing, mona: User, bob: User
) -> None:
    thing.give(bob, "READ")
    thing.give_all(mona, "EDIT")
    read = shown(as_alice, thing)
    named = [e for e in read.all("select") if "of " in e.attributes.get("aria-label", "")]
    own = ["alice"] if thing.kind == "endpoint" else []  # who made it
    assert [e["aria-label"] for e in named] == [f"Permission of {name}" for name in [*own, "bob"]]


@pytest.mark.parametrize("kind", MLFLOWS)
def test_what_mlflows_roles_bring_is_shown_with_the_role(
    as_alice: Client, alice: User, bob: User, mona: User, kind: str
) -> None:
    thing = make_thing(kind, alice)
    noun = {"registered_model": "models"}.get(kind, f"{kind}s")
    grant_mlflow(bob, kind, thing.pk, "USE", role="analysts")
    grant_mlflow(mona, kind, "*", "READ", role="readers")
    grant_mlflow(mona, "workspace", "*", "MANAGE", role="keepers")
    grant_mlflow(bob, "workspace", "*", "USE", role="members")  # brings nothing on this
    grant_mlflow(bob, kind, f"{thing.pk}1", "MANAGE")  # another
    grant_mlflow(bob, kind, thing.pk, "EDIT", role="elsewhere")
    Role.objects.filter(name="elsewhere").update(workspace="another")
    other = "registered_model" if kind == "experiment" else "experiment"
    grant_mlflow(bob, other, "*", "MANAGE")
    MlflowUser.objects.create(username="zoe", password_hash="!", is_admin=False)
    zoe = User(username="zoe")
    grant_mlflow(zoe, kind, thing.pk, "EDIT")
    assert rows(shown(as_alice, thing)) == [
        ("alice", "Manage", "administrator"),
        ("bob", "Use", "by the role analysts"),
        ("mona", "Read", f"by the role readers, on all {noun}"),
        ("mona", "Manage", "manages everything, by the role keepers"),
        ("zoe Not a user of Studio", "Edit", "given here"),
    ]
    assert not [e for e in shown(as_alice, thing).all("select") if "aria-label" in e.attributes]


def test_each_permission_is_explained_and_deploying_is_called_running_code(
    as_alice: Client, thing: Thing
) -> None:
    read = shown(as_alice, thing)
    meanings = dict(zip(read.texts("dt"), read.texts("dd"), strict=True))
    assert list(meanings) == ["Read", "Use", "Edit", "Manage", "Deny"]
    assert all(text.endswith(".") for text in meanings.values())
    told = "To deploy a model is to run its code on this machine"
    assert (told in meanings["Edit"]) is (thing.kind == "endpoint")


def test_names_of_users_are_offered_but_not_of_the_disabled(
    as_alice: Client, thing: Thing, bob: User
) -> None:
    User.objects.create_user("carol", is_active=False)
    (names,) = [e for e in shown(as_alice, thing).all("input") if e.attributes.get("list")]
    assert names["list"] == "access-names"
    content = as_alice.get(thing.page).content.decode()
    offered = content.split('<datalist id="access-names">')[1].split("</datalist>")[0]
    assert offered.count("<option") == 2
    assert 'value="alice"' in offered
    assert 'value="bob"' in offered


def test_it_is_searched_and_paged(as_alice: Client, thing: Thing) -> None:
    for number in range(120):
        thing.give(User.objects.create(username=f"user-{number:03}"), "READ")
    found = [name for name, *_ in rows(shown(as_alice, thing, search="USER-"))]
    assert found == [f"user-{number:03}" for number in range(100)]
    assert shown(as_alice, thing, search="USER-").related("next") == "?search=USER-&page=2"
    last = rows(shown(as_alice, thing, search="USER-", page="2"))
    assert [name for name, *_ in last][-1] == "user-119"
    assert [name for name, *_ in rows(shown(as_alice, thing, search="-077"))] == ["user-077"]
    nobody = shown(as_alice, thing, search="<none>")
    assert "Nobody with access is named like “<none>”" in nobody.texts("h2")


@pytest.mark.parametrize("many", [1, 150])
def test_the_number_of_queries_does_not_grow(
    as_alice: Client, thing: Thing, django_assert_num_queries: DjangoAssertNumQueries, many: int
) -> None:
    for number in range(many):
        thing.give(User.objects.create(username=f"user-{number}"), "READ")
    with django_assert_num_queries(6):  # session, user, the row, grants, people, names
        shown(as_alice, thing)


HOSTILE = "<b>x</b>\"'><script>alert(1)</script>"


def test_roles_and_names_are_shown_as_text(as_alice: Client, bob: User) -> None:
    experiment = make_experiment(HOSTILE)
    grant_mlflow(bob, "experiment", experiment.pk, "READ", role=HOSTILE)
    path = f"/experiments/{experiment.pk}/access/"
    for response in (
        as_alice.get(path, {"search": HOSTILE}),
        as_alice.get(path),
        as_alice.post(path, {"username": HOSTILE, "permission": "READ"}),
    ):
        assert "<script>alert" not in response.content.decode()
    assert HOSTILE in page(as_alice.get(path)).texts("td")[-1]


# Forms that cannot be right.


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "This field is required."),
        ({"username": "nobody", "permission": "READ"}, "There is no user named 'nobody'."),
        ({"username": "BOB", "permission": "READ"}, "Names mind capital letters."),
        ({"username": "bob"}, "Choose a permission."),
        ({"username": "bob", "permission": ""}, "Choose a permission."),
        ({"username": "bob", "permission": "OWN"}, "OWN is not one of the available choices."),
        ({"username": "b\0b", "permission": "READ"}, "Null characters are not allowed."),
        ({"username": "b" * 151, "permission": "READ"}, "at most 150 characters"),
    ],
)
def test_a_form_that_cannot_be_right_is_told(
    as_alice: Client, bob: User, thing: Thing, given: dict[str, str], told: str
) -> None:
    before = grants()
    response = as_alice.post(thing.page, given)
    assert response.status_code == 422
    alerts = [e.text for e in page(response).all("span") if e.attributes.get("role") == "alert"]
    assert told in " ".join(alerts)
    assert grants() == before
    assert not AuditEvent.objects.exists()


def test_the_page_is_read_and_posted_to_and_nothing_else(as_alice: Client, thing: Thing) -> None:
    for method in ("put", "delete", "patch"):
        assert getattr(as_alice, method)(thing.page).status_code == 405


@pytest.mark.parametrize("kind", MLFLOWS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_that_mlflow_is_away_is_told_on_the_page(
    as_alice: Client, alice: User, bob: User, kind: str
) -> None:
    """Nobody listens on the reference socket here."""
    thing = make_thing(kind, alice)
    response = as_alice.post(thing.page, {"username": "bob", "permission": "READ"})
    assert response.status_code == 503
    told = " ".join(e.text for e in page(response).all("p") if e.attributes.get("role") == "alert")
    assert "MLflow's server is not answering." in told
    assert not AuditEvent.objects.exists()
    gc.collect()  # httpcore leaves the socket that found nobody to the garbage collector, which warns
