"""Grants on MLflow's resources are asked for at MLflow's server, as who acts; what it refuses is told on the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from django.conf import settings
from django.test import Client

from studio.accounts.models import AuditEvent, Permission, User
from studio.accounts.query import direct_grant
from studio.lib.errors import Conflict, Forbidden
from studio.mlflow import services
from studio.mlflow.identity import HEADER, username_from
from studio.mlflow.services import MlflowRefused
from tests.support.grants import Thing, grant_mlflow, make_thing
from tests.support.pages import page
from tests.support.upstream import Answer, Seen, Upstream, listening

API = "/api/3.0/mlflow"
GRANT, REVOKE = f"{API}/users/permissions/grant", f"{API}/users/permissions/revoke"
UPDATE = f"{API}/roles/permissions/update"
OK = Answer()
DENIED = Answer(403, pieces=b"Permission denied")


def refusal(status: int, code: str, message: str) -> Answer:
    told = {"error_code": code, "message": message}
    return Answer(status, [("content-type", "application/json")], json.dumps(told).encode())


BROKEN = refusal(503, "TEMPORARILY_UNAVAILABLE", "The database is away.")


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as upstream:
        yield upstream


@pytest.fixture
def mlflow(server: Upstream) -> Upstream:
    server.seen.clear()
    server.answer = Answer()
    return server


def script(server: Upstream, *answers: Answer) -> None:
    """Have MLflow give these answers, in order."""
    first, *rest = answers
    body = first.pieces

    async def pieces(seen: Seen) -> AsyncIterator[bytes]:
        script(server, *(rest or [Answer(500, pieces=b"asked once too often")]))
        assert isinstance(body, bytes)
        yield body

    server.answer = Answer(first.status, first.headers, pieces)


def asked(mlflow: Upstream) -> list[tuple[str, str, dict[str, object]]]:
    return [(seen.method, seen.path, json.loads(seen.body)) for seen in mlflow.seen]


def events() -> list[tuple[str, str, str]]:
    found = AuditEvent.objects.order_by("pk")
    return list(found.values_list("actor", "action", "target"))


@pytest.fixture
def mona(db: None) -> User:
    return User.objects.create_user("mona")


def give(user: User, by: User, permission: str = "EDIT", resource_id: str = "7") -> None:
    services.give(
        user=user,
        resource_type="experiment",
        resource_id=resource_id,
        permission=Permission(permission),
        by=by,
    )


ON = {"username": "bob", "resource_type": "experiment", "resource_id": "7"}


def test_a_new_grant_is_asked_for_as_who_gives_it(mlflow: Upstream, mona: User, bob: User) -> None:
    give(bob, mona)
    assert asked(mlflow) == [("POST", GRANT, ON | {"permission": "EDIT"})]
    (claim,) = mlflow.last.header(HEADER)
    assert username_from(claim, settings.IDENTITY_KEY) == "mona"
    assert events() == [("mona", "grant.give", "bob: EDIT on experiment 7")]


def test_what_the_user_has_by_other_ways_is_not_taken_for_the_grant(
    mlflow: Upstream, mona: User, bob: User
) -> None:
    grant_mlflow(bob, "experiment", "7", "READ", role="readers")
    grant_mlflow(bob, "experiment", "*", "READ")
    grant_mlflow(bob, "registered_model", "7", "READ")
    grant_mlflow(mona, "experiment", "7", "READ")
    give(bob, mona)
    assert [path for _, path, _ in asked(mlflow)] == [GRANT]


def test_an_administrator_changes_a_grant_in_one_step(
    mlflow: Upstream, alice: User, bob: User
) -> None:
    grant_mlflow(bob, "experiment", "7", "READ")
    row = direct_grant(bob, "experiment", "7")
    assert row is not None
    give(bob, alice)
    assert asked(mlflow) == [
        ("PATCH", UPDATE, {"role_permission_id": row.pk, "permission": "EDIT"})
    ]
    assert events() == [("alice", "grant.give", "bob: EDIT on experiment 7")]


def test_who_has_manage_changes_a_grant_in_two(mlflow: Upstream, mona: User, bob: User) -> None:
    grant_mlflow(bob, "experiment", "7", "READ")
    script(mlflow, DENIED, OK, OK)
    give(bob, mona)
    assert asked(mlflow)[1:] == [
        ("POST", REVOKE, ON),
        ("POST", GRANT, ON | {"permission": "EDIT"}),
    ]
    assert events() == [
        ("mona", "grant.take", "bob: experiment 7"),
        ("mona", "grant.give", "bob: EDIT on experiment 7"),
    ]


def test_a_grant_that_is_there_already_is_left_alone(
    mlflow: Upstream, alice: User, bob: User
) -> None:
    grant_mlflow(bob, "experiment", "7", "EDIT")
    give(bob, alice)
    assert asked(mlflow) == []
    assert events() == []


def test_ones_own_grant_is_not_taken_when_it_could_not_be_given_again(
    mlflow: Upstream, mona: User
) -> None:
    grant_mlflow(mona, "experiment", "7", "MANAGE")
    script(mlflow, DENIED)
    with pytest.raises(Conflict, match="Nobody changes their own permission here"):
        give(mona, mona)
    assert [path for _, path, _ in asked(mlflow)] == [UPDATE]
    assert events() == []


@pytest.mark.parametrize(
    ("failure", "told"), [(BROKEN, "The database is away."), (DENIED, "Manage")]
)
def test_a_change_that_stops_half_way_is_told_and_on_record(
    mlflow: Upstream, mona: User, bob: User, failure: Answer, told: str
) -> None:
    grant_mlflow(bob, "experiment", "7", "READ")
    script(mlflow, DENIED, OK, failure)
    with pytest.raises(
        Conflict, match="bob had READ, which is taken, and was not given EDIT"
    ) as half:
        give(bob, mona)
    assert told in half.value.message
    assert half.value.message.endswith("Give it once more.")
    assert events() == [("mona", "grant.take", "bob: experiment 7")]


def test_what_mlflow_refuses_is_not_on_record(mlflow: Upstream, mona: User, bob: User) -> None:
    mlflow.answer = refusal(400, "RESOURCE_ALREADY_EXISTS", "It already exists.")
    with pytest.raises(MlflowRefused, match="already exists"):
        give(bob, mona)
    mlflow.answer = DENIED
    with pytest.raises(Forbidden, match="you need Manage"):
        give(bob, mona)
    with pytest.raises(Forbidden):
        services.take(user=bob, resource_type="experiment", resource_id="7", by=mona)
    grant_mlflow(bob, "experiment", "7", "READ")
    mlflow.answer = BROKEN
    with pytest.raises(MlflowRefused, match="The database is away"):
        give(bob, mona)  # before anything is taken
    assert [path for _, path, _ in asked(mlflow)].count(REVOKE) == 1
    assert events() == []


# On the pages.


@pytest.fixture(params=["experiment", "registered_model"])
def thing(request: pytest.FixtureRequest, alice: User) -> Thing:
    return make_thing(request.param, alice)


@pytest.fixture
def as_mona(mona: User, thing: Thing) -> Client:
    """Has MANAGE on the thing, and is no administrator."""
    thing.give(mona, "MANAGE")
    client = Client()
    client.force_login(mona)
    return client


def alerts(response: object) -> list[str]:
    read = page(response)  # type: ignore[arg-type]
    return [" ".join(e.text.split()) for e in read.all("p") if e.attributes.get("role") == "alert"]


def test_a_page_gives_and_removes(
    mlflow: Upstream, as_mona: Client, thing: Thing, bob: User
) -> None:
    on = {"username": "bob", "resource_type": thing.kind, "resource_id": thing.pk}
    given = as_mona.post(thing.page, {"username": "bob", "permission": "USE"}, follow=True)
    assert given.redirect_chain == [(thing.page, 302)]
    assert "bob has Use on secret." in page(given).texts("p")
    as_mona.post(thing.page, {"username": "bob", "remove": "yes"})
    assert asked(mlflow) == [
        ("POST", GRANT, on | {"permission": "USE"}),
        ("POST", REVOKE, on),
    ]
    assert events() == [
        ("mona", "grant.give", f"bob: USE on {thing.kind} {thing.pk}"),
        ("mona", "grant.take", f"bob: {thing.kind} {thing.pk}"),
    ]


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (DENIED, 422, "MLflow does not let you change who has access here"),
        (refusal(404, "RESOURCE_DOES_NOT_EXIST", "It is <not> there."), 422, "It is <not> there."),
        (BROKEN, 503, "The database is away."),
    ],
)
def test_what_mlflow_refuses_is_told_on_the_page(
    mlflow: Upstream,
    as_mona: Client,
    thing: Thing,
    bob: User,
    answer: Answer,
    status: int,
    told: str,
) -> None:
    mlflow.answer = answer
    for given in ({"permission": "READ"}, {"remove": "yes"}):
        response = as_mona.post(thing.page, {"username": "bob"} | given)
        assert response.status_code == status
        assert told in " ".join(alerts(response))
        names = {e.attributes.get("value") for e in page(response).all("input")}
        assert "bob" in names  # what was typed is kept
    assert events() == []


def test_who_asks_to_lower_his_own_manage_is_offered_to_remove_it(
    mlflow: Upstream, as_mona: Client, thing: Thing
) -> None:
    response = as_mona.post(thing.page, {"username": "mona", "permission": "READ"})
    assert response.status_code == 422
    assert "MLflow lets nobody lower their own Manage." in " ".join(page(response).texts("p"))
    assert "Remove my permission" in page(response).texts("button")
    assert mlflow.seen == []
    sure = {"username": "mona", "remove": "yes", "sure": "yes"}
    done = as_mona.post(thing.page, sure)
    listing = "/experiments/" if thing.kind == "experiment" else "/models/"
    assert done["Location"] == listing
    assert [path for _, path, _ in asked(mlflow)] == [REVOKE]


def test_who_manages_everything_is_not_asked(
    mlflow: Upstream, as_mona: Client, mona: User, thing: Thing
) -> None:
    grant_mlflow(mona, "workspace", "*", "MANAGE", role="keepers")
    done = as_mona.post(thing.page, {"username": "mona", "permission": "DENY"})
    assert done["Location"] == thing.page
    assert [path for _, path, _ in asked(mlflow)] == [UPDATE]


@pytest.mark.parametrize("word", ["READ", "EDIT", None])
def test_mlflow_is_not_asked_for_who_has_less_than_manage(
    mlflow: Upstream, thing: Thing, bob: User, as_bob: Client, word: str | None
) -> None:
    if word:
        thing.give(bob, word)
    response = as_bob.post(thing.page, {"username": "bob", "permission": "MANAGE"})
    assert response.status_code == (403 if word else 404)
    assert mlflow.seen == []
