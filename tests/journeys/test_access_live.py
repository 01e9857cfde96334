"""Access that is given and ended on a page counts at MLflow's API, and the other way round, in a running Studio."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from tests.support.live import Studio
from tests.support.training import client_of

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of its libraries
PASSWORD = "a long enough password"
NAMES = ["shared-mona", "shared-wanda"]
_numbers = itertools.count(1)


class Person(NamedTuple):
    """Who signs in with a token: on pages, and with MLflow's clients."""

    name: str
    token: str
    pages: httpx.Client

    def share(self, page: str, name: str, permission: str = "") -> httpx.Response:
        """Press the page's button: to give the permission, or to remove what there is."""
        form = {"username": name} | (
            {"permission": permission} if permission else {"remove": "yes"}
        )
        return self.pages.post(page, data=form)


@pytest.fixture(scope="module")
def people(live: Studio, token: str) -> Iterator[dict[str, Person]]:
    """The administrator, mona who will have MANAGE, and wanda, to whom things are given."""
    script = (
        "from studio.accounts.models import User\n"
        "from studio.accounts.services import issue_token\n"
        f"for name in {NAMES}:\n"
        "    user = User.objects.create_user(name)\n"
        "    print('TOKEN', name, issue_token(user=user, label='test', by=user)[1])\n"
    )
    told = live.manage("shell", "-c", script).splitlines()
    tokens = dict(line.split()[1:] for line in told if line.startswith("TOKEN "))
    with ExitStack() as stack:
        yield {
            name.removeprefix("shared-"): Person(name, text, stack.enter_context(live.client(text)))
            for name, text in {"admin": token, **tokens}.items()
        }


@pytest.fixture
def admin(people: dict[str, Person]) -> Person:
    return people["admin"]


@pytest.fixture
def mona(people: dict[str, Person]) -> Person:
    return people["mona"]


@pytest.fixture
def wanda(people: dict[str, Person]) -> Person:
    return people["wanda"]


@pytest.fixture(scope="module")
def database(live: Studio) -> Iterator[psycopg.Connection[Any]]:
    url = json.loads(live.manage("status", "--json"))["database_url"]
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def recorded(database: psycopg.Connection[Any]) -> Callable[[], list[tuple[str, ...]]]:
    """What has been put on record since the test began."""
    start = database.execute("SELECT coalesce(max(id), 0) FROM accounts_auditevent").fetchone()
    asked = "SELECT actor, action, target FROM accounts_auditevent WHERE id > %s ORDER BY id"
    return lambda: database.execute(asked, start).fetchall()


@pytest.fixture
def auth(live: Studio, admin: Person) -> Iterator[AuthServiceClient]:
    with client_of(live.url, admin.token):
        yield AuthServiceClient(live.url)


class Shared(NamedTuple):
    """Something of the administrator's, and how MLflow's clients read and write it."""

    kind: str
    id: str
    path: str
    read: Callable[[MlflowClient], object]
    write: Callable[[MlflowClient], object]

    @property
    def page(self) -> str:
        return f"{self.path}access/"


@pytest.fixture(params=["experiment", "registered_model"])
def shared(request: pytest.FixtureRequest, live: Studio, admin: Person) -> Shared:
    name = f"shared-{next(_numbers)}"
    with client_of(live.url, admin.token) as client:
        if request.param == "experiment":
            made = client.create_experiment(name)
            return Shared(
                "experiment",
                made,
                f"/experiments/{made}/",
                lambda client: client.get_experiment(made),
                lambda client: client.set_experiment_tag(made, "k", "v"),
            )
        client.create_registered_model(name)
        return Shared(
            "registered_model",
            name,
            f"/models/{name}/",
            lambda client: client.get_registered_model(name),
            lambda client: client.set_registered_model_tag(name, "k", "v"),
        )


def allowed(live: Studio, person: Person, call: Callable[[MlflowClient], object]) -> bool:
    """Whether MLflow's own client is let through, or is told 403."""
    with client_of(live.url, person.token) as client:
        try:
            call(client)
        except MlflowException as refused:
            assert refused.error_code == "PERMISSION_DENIED", refused
            return False
    return True


def reach(live: Studio, person: Person, shared: Shared) -> tuple[int, bool, bool]:
    """The status of the page, and whether MLflow's client reads and writes."""
    status = person.pages.get(shared.path).status_code
    return status, allowed(live, person, shared.read), allowed(live, person, shared.write)


NOTHING, READS, WRITES = (404, False, False), (200, True, False), (200, True, True)


def test_what_an_administrator_does_on_the_page_counts_at_the_next_request(
    live: Studio,
    admin: Person,
    wanda: Person,
    shared: Shared,
    auth: AuthServiceClient,
    recorded: Callable[[], list[tuple[str, ...]]],
) -> None:
    asked = (wanda.name, shared.kind, shared.id)
    assert reach(live, wanda, shared) == NOTHING
    assert admin.share(shared.page, wanda.name, "READ").status_code == 302
    assert reach(live, wanda, shared) == READS
    with client_of(live.url, admin.token):
        assert auth.get_user_permission(*asked).permission == "READ"
    assert admin.share(shared.page, wanda.name, "EDIT").status_code == 302
    assert reach(live, wanda, shared) == WRITES
    assert admin.share(shared.page, wanda.name, "DENY").status_code == 302
    assert reach(live, wanda, shared) == NOTHING
    assert admin.share(shared.page, wanda.name, "USE").status_code == 302
    assert reach(live, wanda, shared) == READS
    assert admin.share(shared.page, wanda.name).status_code == 302
    assert reach(live, wanda, shared) == NOTHING
    with client_of(live.url, admin.token):
        assert auth.get_user_permission(*asked).permission == "NO_PERMISSIONS"
    on = f"on {shared.kind} {shared.id}"
    given = [f"{wanda.name}: {word} {on}" for word in ("READ", "EDIT", "DENY", "USE")]
    assert recorded() == [
        *(("admin", "grant.give", target) for target in given),
        ("admin", "grant.take", f"{wanda.name}: {shared.kind} {shared.id}"),
    ]


def test_what_is_done_with_mlflows_client_shows_on_the_page(
    admin: Person, wanda: Person, shared: Shared, auth: AuthServiceClient
) -> None:
    def line() -> str:
        html = admin.pages.get(shared.page, params={"search": wanda.name}).text
        rows = [row.split("</tr>")[0] for row in html.split("<tr>") if f"<td>{wanda.name}" in row]
        return "".join(rows)

    assert line() == ""
    auth.grant_user_permission(wanda.name, shared.kind, shared.id, "USE")
    assert '<option value="USE" selected>' in line()
    assert "given here" in line()
    auth.revoke_user_permission(wanda.name, shared.kind, shared.id)
    assert line() == ""
    role = auth.create_role("default", f"team-{next(_numbers)}")
    auth.add_role_permission(role.id, shared.kind, "*", "READ")
    auth.assign_role(wanda.name, role.id)
    assert f"by the role {role.name}, on all " in line()
    assert "<select" not in line()
    auth.delete_role(role.id)
    assert line() == ""


def test_who_has_manage_gives_changes_and_removes_and_at_last_removes_himself(
    live: Studio,
    admin: Person,
    mona: Person,
    wanda: Person,
    shared: Shared,
    recorded: Callable[[], list[tuple[str, ...]]],
) -> None:
    assert mona.share(shared.page, wanda.name, "READ").status_code == 404
    assert admin.share(shared.page, mona.name, "EDIT").status_code == 302
    assert mona.share(shared.page, wanda.name, "READ").status_code == 403
    assert reach(live, wanda, shared) == NOTHING
    assert admin.share(shared.page, mona.name, "MANAGE").status_code == 302
    for word, expected in (("READ", READS), ("EDIT", WRITES), ("READ", READS)):
        assert mona.share(shared.page, wanda.name, word).status_code == 302
        assert reach(live, wanda, shared) == expected
    assert mona.share(shared.page, wanda.name).status_code == 302
    assert reach(live, wanda, shared) == NOTHING
    lowered = mona.share(shared.page, mona.name, "READ")
    assert lowered.status_code == 422
    assert "MLflow lets nobody lower their own Manage." in lowered.text
    sure = {"username": mona.name, "remove": "yes", "sure": "yes"}
    assert mona.pages.post(shared.page, data=sure).status_code == 302
    assert reach(live, mona, shared) == NOTHING
    assert mona.share(shared.page, mona.name, "MANAGE").status_code == 404
    on = f"{shared.kind} {shared.id}"
    assert recorded()[2:] == [
        (mona.name, "grant.give", f"{wanda.name}: READ on {on}"),
        (mona.name, "grant.take", f"{wanda.name}: {on}"),
        (mona.name, "grant.give", f"{wanda.name}: EDIT on {on}"),
        (mona.name, "grant.take", f"{wanda.name}: {on}"),
        (mona.name, "grant.give", f"{wanda.name}: READ on {on}"),
        (mona.name, "grant.take", f"{wanda.name}: {on}"),
        (mona.name, "grant.take", f"{mona.name}: {on}"),
    ]


def test_what_is_not_there_any_more_is_told_in_mlflows_words(
    admin: Person, wanda: Person, shared: Shared, recorded: Callable[[], list[tuple[str, ...]]]
) -> None:
    """Somebody else was quicker."""
    refused = admin.share(shared.page, wanda.name)
    assert refused.status_code == 422
    assert f"Permission for user={wanda.name}" in refused.text
    assert "not found" in refused.text
    assert recorded() == []


def test_an_endpoint_is_shared_on_its_page_and_over_http(
    live: Studio, admin: Person, wanda: Person
) -> None:
    name = f"shared-{next(_numbers)}"
    assert admin.pages.post("/api/v1/endpoints", json={"name": name}).status_code == 201
    page, api = f"/endpoints/{name}/access/", f"/api/v1/endpoints/{name}"
    assert wanda.pages.get(api).status_code == 404
    assert admin.share(page, wanda.name, "READ").status_code == 302
    assert wanda.pages.get(api).status_code == 200
    assert admin.pages.delete(f"{api}/grants/{wanda.name}").status_code == 204
    assert wanda.pages.get(api).status_code == 404
