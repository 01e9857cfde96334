"""Access to an endpoint is given, changed and ended on its page and over HTTP, and counts from the next request."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from endpoints.access import may_deploy
from endpoints.models import ENDPOINT, Endpoint, State
from studio.accounts.models import AccessToken, AuditEvent, Grant, User
from studio.accounts.permissions import ANY
from tests.support.grants import grant_mlflow, grant_studio
from tests.support.pages import page
from tests.support.rows import make_version
from tests.support.serving import make_deployment, make_endpoint

IRIS = "/endpoints/iris/"
PAGE = f"{IRIS}access/"
API = "/api/v1/endpoints/iris"
GRANTS = f"{API}/grants"
JSON = "application/json"


@pytest.fixture
def mona(iris: Endpoint) -> User:
    """Has MANAGE on iris, and is no administrator."""
    user = User.objects.create_user("mona")
    grant_studio(user, ENDPOINT, iris.pk, "MANAGE")
    return user


@pytest.fixture
def as_mona(mona: User) -> Client:
    client = Client()
    client.force_login(mona)
    return client


def program(user: User) -> Client:
    _, text = AccessToken.issue(user=user, label="test")
    return Client(headers={"Authorization": f"Bearer {text}"})


def events() -> list[tuple[str, str, str]]:
    found = AuditEvent.objects.order_by("pk")
    return list(found.values_list("actor", "action", "target"))


def held(username: str) -> list[str]:
    found = Grant.objects.filter(user__username=username, resource_type=ENDPOINT)
    return [f"{grant.permission} {grant.resource_id}" for grant in found.order_by("pk")]


# On the page.


def test_what_is_given_counts_at_the_next_request_and_so_does_its_end(
    as_mona: Client, as_bob: Client, bob: User, iris: Endpoint
) -> None:
    api = program(bob)
    assert as_bob.get(IRIS).status_code == api.get(API).status_code == 404
    done = as_mona.post(PAGE, {"username": "bob", "permission": "READ"}, follow=True)
    assert done.redirect_chain == [(PAGE, 302)]
    assert "bob has Read on iris." in page(done).texts("p")
    assert as_bob.get(IRIS).status_code == api.get(API).status_code == 200
    changed = {"description": "by bob"}
    assert api.patch(API, changed, JSON).status_code == 403
    as_mona.post(PAGE, {"username": "bob", "permission": "EDIT"})
    assert held("bob") == [f"EDIT {iris.pk}"]
    assert api.patch(API, changed, JSON).status_code == 200
    gone = as_mona.post(
        PAGE, {"username": "bob", "remove": "yes", "permission": "EDIT"}, follow=True
    )
    assert "bob has no permission of their own on iris any more." in page(gone).texts("p")
    assert as_bob.get(IRIS).status_code == api.get(API).status_code == 404
    assert events() == [
        ("mona", "grant.give", f"bob: READ on endpoint {iris.pk}"),
        ("mona", "grant.give", f"bob: EDIT on endpoint {iris.pk}"),
        ("mona", "grant.take", f"bob: endpoint {iris.pk}"),
    ]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"remove": "yes"}, "Remove my permission"),
        ({"permission": "READ"}, "Change my permission"),
        ({"permission": "DENY"}, "Change my permission"),
    ],
)
def test_who_ends_his_own_manage_is_told_what_that_means_and_asked(
    as_mona: Client, iris: Endpoint, given: dict[str, str], asked: str
) -> None:
    first = as_mona.post(PAGE, {"username": "mona"} | given)
    assert first.status_code == 422
    read = page(first)
    assert "End your own Manage on iris?" in read.texts("h2")
    assert "You will not see this page any more" in " ".join(read.texts("p"))
    assert asked in read.texts("button")
    assert held("mona") == [f"MANAGE {iris.pk}"]
    assert events() == []
    fields = sent_by(first, asked)
    assert fields == {"username": "mona", "sure": "yes"} | given
    done = as_mona.post(PAGE, fields, follow=True)
    assert done.redirect_chain == [("/endpoints/", 302)]
    assert done.status_code == 200
    assert as_mona.get(PAGE).status_code == (403 if given.get("permission") == "READ" else 404)
    assert len(events()) == 1


def sent_by(response: Any, button: str) -> dict[str, str]:
    """What a browser sends when this button of a form is pressed."""
    form = next(
        part for part in response.content.decode().split("<form")[1:] if f">{button}<" in part
    )
    fields = [piece.split(">")[0] for piece in form.split("<input ")[1:]]
    pairs = [piece.split('name="')[1].split('"')[0] for piece in fields]
    values = [piece.split('value="')[1].split('"')[0] for piece in fields]
    found = dict(zip(pairs, values, strict=True))
    del found["csrfmiddlewaretoken"]
    return found


@pytest.mark.parametrize("given", [{"remove": "yes"}, {"permission": "READ"}])
def test_who_keeps_manage_by_something_else_is_not_asked(
    as_alice: Client, as_mona: Client, mona: User, given: dict[str, str]
) -> None:
    grant_studio(mona, ENDPOINT, ANY, "MANAGE")
    for client, name in ((as_mona, "mona"), (as_alice, "alice")):
        done = client.post(PAGE, {"username": name} | given, follow=True)
        assert done.redirect_chain == [(PAGE, 302)]
        assert done.status_code == 200
    assert client.post(PAGE, {"username": "alice", "permission": "DENY"}).status_code == 302


def test_a_denial_of_oneself_is_asked_about_whatever_else_gives_manage(
    as_mona: Client, mona: User
) -> None:
    grant_studio(mona, ENDPOINT, ANY, "MANAGE")
    refused = as_mona.post(PAGE, {"username": "mona", "permission": "DENY"})
    assert refused.status_code == 422
    assert "Change my permission" in page(refused).texts("button")


def test_an_endpoint_that_nobody_was_given_is_still_an_administrators(
    as_alice: Client, iris: Endpoint
) -> None:
    as_alice.post(PAGE, {"username": "alice", "remove": "yes"})
    assert not Grant.objects.exists()
    assert as_alice.get(PAGE).status_code == 200


# Over HTTP.


@pytest.fixture
def api(mona: User) -> Client:
    return program(mona)


def test_grants_are_listed_by_name_without_what_comes_from_elsewhere(
    api: Client, bob: User
) -> None:
    grant_studio(bob, ENDPOINT, ANY, "USE")
    body = api.get(GRANTS).json()
    manage = [{"username": name, "permission": "MANAGE"} for name in ("alice", "mona")]
    assert body == {"items": manage, "next": None}


def test_a_grant_is_put_changed_and_deleted(api: Client, bob: User, iris: Endpoint) -> None:
    theirs = program(bob)
    for word in ("READ", "USE"):
        answer = api.put(f"{GRANTS}/bob", {"permission": word}, JSON)
        assert (answer.status_code, answer.json()) == (200, {"username": "bob", "permission": word})
        assert theirs.get(API).status_code == 200
    assert held("bob") == [f"USE {iris.pk}"]
    assert {"username": "bob", "permission": "USE"} in api.get(GRANTS).json()["items"]
    gone = api.delete(f"{GRANTS}/bob")
    assert (gone.status_code, gone.content) == (204, b"")
    assert theirs.get(API).status_code == 404
    assert events() == [
        ("mona", "grant.give", f"bob: READ on endpoint {iris.pk}"),
        ("mona", "grant.give", f"bob: USE on endpoint {iris.pk}"),
        ("mona", "grant.take", f"bob: endpoint {iris.pk}"),
    ]


@pytest.mark.parametrize("body", [{}, {"permission": "OWN"}, {"permission": None}, []])
def test_what_is_no_permission_is_refused(api: Client, bob: User, body: Any) -> None:
    answer = api.put(f"{GRANTS}/bob", body, JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert held("bob") == []


def test_who_is_not_there_and_what_was_not_given_is_not_found(api: Client, bob: User) -> None:
    for answer, told in (
        (api.put(f"{GRANTS}/nobody", {"permission": "READ"}, JSON), "no user named 'nobody'"),
        (api.delete(f"{GRANTS}/bob"), "'bob' was given nothing on the endpoint 'iris'"),
        (api.delete(f"{GRANTS}/nobody"), "'nobody' was given nothing"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert told in answer.json()["error"]["message"]
    assert events() == []


@pytest.mark.parametrize("word", ["READ", "USE", "EDIT", "DENY", None])
def test_only_who_has_manage_reads_and_changes_grants(
    iris: Endpoint, bob: User, word: str | None
) -> None:
    if word:
        grant_studio(bob, ENDPOINT, iris.pk, word)
    theirs = program(bob)
    sees = word not in ("DENY", None)
    for answer in (
        theirs.get(GRANTS),
        theirs.put(f"{GRANTS}/bob", {"permission": "MANAGE"}, JSON),
        theirs.put(f"{GRANTS}/bob", {"permission": "nonsense"}, JSON),
        theirs.put(f"{GRANTS}/nobody", {"permission": "READ"}, JSON),
        theirs.delete(f"{GRANTS}/alice"),
    ):
        assert answer.status_code == (403 if sees else 404)
        assert answer.json()["error"]["code"] == ("forbidden" if sees else "not_found")
    assert held("bob") == ([f"{word} {iris.pk}"] if word else [])
    assert held("alice") == [f"MANAGE {iris.pk}"]


@pytest.mark.parametrize("many", [1, 80])
def test_the_list_takes_as_many_statements_for_many_as_for_one(
    api: Client, iris: Endpoint, many: int, django_assert_num_queries: Any
) -> None:
    for number in range(many):
        grant_studio(User.objects.create(username=f"u-{number}"), ENDPOINT, iris.pk, "READ")
    api.get(GRANTS)  # notes the use of the token
    with django_assert_num_queries(3):  # token and user, endpoint, grants
        assert len(api.get(GRANTS).json()["items"]) == many + 2


def test_the_schema_tells_of_grants(api: Client) -> None:
    accept = {"Accept": "application/vnd.oai.openapi+json"}
    paths = api.get("/api/v1/schema", headers=accept).json()["paths"]
    grants = paths["/api/v1/endpoints/{name}/grants"]
    grant = paths["/api/v1/endpoints/{name}/grants/{username}"]
    assert (set(grants), set(grant)) == ({"get"}, {"put", "delete"})
    for operation in (grants["get"], grant["put"], grant["delete"]):
        for status in ("403", "404"):
            schema = operation["responses"][status]["content"][JSON]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorOutput"}


# What is offered to whom, on other pages.


def buttons(client: Client, path: str) -> set[str]:
    response = client.get(path)
    assert response.status_code == 200
    read = page(response)
    return {*read.texts("a"), *read.texts("button")}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ({}, False),
        ({"3": "EDIT"}, False),  # of another that is not there
        ({"iris": "USE"}, False),
        ({"iris": "EDIT"}, True),
        ({"iris": "MANAGE"}, True),
        ({ANY: "USE"}, False),
        ({ANY: "EDIT"}, True),
        ({ANY: "EDIT", "iris": "DENY"}, True),  # a new one
    ],
)
def test_deploy_is_offered_to_who_may_deploy_to_something(
    as_bob: Client, bob: User, iris: Endpoint, words: dict[str, str], offered: bool
) -> None:
    make_version("churn")
    grant_mlflow(bob, "registered_model", "churn", "READ")
    for which, word in words.items():
        grant_studio(bob, ENDPOINT, iris.pk if which == "iris" else which, word)
    assert may_deploy(bob) is offered
    for path in ("/models/churn/", "/models/churn/versions/1/"):
        assert ("Deploy" in buttons(as_bob, path)) is offered


def test_who_cannot_make_endpoints_is_not_taught_to(as_bob: Client, bob: User) -> None:
    read = page(as_bob.get("/endpoints/"))
    assert "No endpoints" in read.texts("h2")
    assert read.texts("code") == []
    grant_studio(bob, ENDPOINT, ANY, "EDIT")
    assert "Deploy your first model" in page(as_bob.get("/endpoints/")).texts("h2")


def test_only_endpoints_that_may_be_changed_are_offered_by_name(
    as_bob: Client, bob: User, alice: User, iris: Endpoint
) -> None:
    others = make_endpoint(alice, "others")
    grant_studio(bob, ENDPOINT, iris.pk, "USE")
    grant_studio(bob, ENDPOINT, others.pk, "EDIT")
    make_version("churn")
    grant_mlflow(bob, "registered_model", "churn", "READ")
    read = page(as_bob.get("/models/churn/versions/1/deploy/"))
    assert [option["value"] for option in read.all("option")] == ["others"]


CHANGING = {"Access", "Delete", "Deploy a version", "Try again", "Predict", "Reveal keys"}
BY_LEVEL: dict[str, set[str]] = {
    "READ": set(),
    "USE": {"Predict"},
    "EDIT": {"Predict", "Deploy a version", "Try again"},
    "MANAGE": CHANGING,
}


@pytest.mark.parametrize("word", BY_LEVEL)
def test_an_endpoint_offers_what_the_level_allows(
    as_bob: Client, alice: User, bob: User, iris: Endpoint, word: str
) -> None:
    make_deployment(alice, iris, "blue", state=State.FAILED, reason="It broke.")
    grant_studio(bob, ENDPOINT, iris.pk, word)
    tabs = [IRIS, *(f"{IRIS}?tab={tab}" for tab in ("test", "consume", "logs"))]
    offered = set[str]().union(*(buttons(as_bob, tab) for tab in tabs))
    assert offered & CHANGING == BY_LEVEL[word]


def test_an_empty_endpoint_tells_a_reader_who_can_fill_it(
    as_bob: Client, bob: User, iris: Endpoint
) -> None:
    grant_studio(bob, ENDPOINT, iris.pk, "READ")
    assert "Choose a model" not in buttons(as_bob, IRIS)
    grant_studio(bob, ENDPOINT, iris.pk, "EDIT")
    assert "Choose a model" in buttons(as_bob, IRIS)
