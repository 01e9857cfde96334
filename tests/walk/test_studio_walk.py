"""Every address of Studio's own, each method, naming real objects of somebody else: closed, or open for a reason."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from endpoints.models import Deployment, Endpoint, State
from registry.models import ModelVersion
from studio.accounts.models import AccessToken, AuditEvent, User
from studio.mlflow.forward import forward
from tests.support.rows import make_experiment, make_run, make_version
from tests.support.serving import make_deployment, make_endpoint
from tracking.models import Run

SECRET = "walkers-secret"
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
# Open to who has not signed in, and why. A pattern for the route.
OPEN_TO_ALL = {
    r"password/": "sets a password by a link that an administrator has made: who has none is told nothing",
    r"livez|healthz": "a load balancer asks without a password, and is told of no content",
    r"metrics": "for Prometheus alone, behind a token of its own: 404 while none is set",
    r"favicon\.ico": "a picture that browsers ask for before anybody has signed in",
    r"login/": "the door itself",
    r"admin/login/": "the door of Django's own administration, which lets in administrators only",
}
# Open to who has signed in, and why. Each is asked as it is, and must not tell of anything that is not his.
OPEN_TO_USERS = {
    r"": "the first page: what the user may read",
    r"find/": "what the user may read, by name",
    r"series/": "the points of those runs that the user may read: others are left out",
    r"(experiments|models|endpoints)/": "lists of what the user may read",
    r"(admin/)?logout/": "ends one's own session",
    r"settings/tokens/": "one's own tokens",
    r"settings/password/|admin/password_change/.*": "one's own password",
    r"api/v1/tokens": "one's own tokens",
    r"api/v1/endpoints": "a list of what the user may read; making one takes EDIT on all endpoints",
    r"api/v1/schema": "the description of the REST API",
    r"mlflow/?": "MLflow's web UI: a program that asks for data as every client does",
    r"\^mlflow/.*": "files of MLflow's web UI",
}


class Route(NamedTuple):
    path: str
    pattern: URLPattern

    @property
    def arguments(self) -> list[str]:
        return re.findall(r"<(?:\w+:)?(\w+)>", self.path)

    def listed(self, table: dict[str, str]) -> bool:
        return any(re.fullmatch(line, self.path) for line in table)


def routes() -> Iterator[Route]:
    """Studio's own: MLflow's are walked beside this, in test_mlflow_walk.py."""
    yield from (route for route in _below(get_resolver(), "") if not _is_mlflows(route))


def _below(resolver: URLResolver, before: str) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _below(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield Route(path, pattern)


def _is_mlflows(route: Route) -> bool:
    view = route.pattern.callback
    return view is forward or "ajax-api" in route.path


ROUTES = list(routes())


class Theirs(NamedTuple):
    """Somebody's objects, or names of none."""

    run: str
    experiment: int
    model: str
    endpoint: str
    deployment: str
    token: int
    user: str
    event: int

    def fill(self, route: Route) -> str:
        """The address of the route for these objects. Fails for an argument that nobody has thought of."""
        path = re.sub(
            r"<(?:\w+:)?(\w+)>", lambda found: str(self._value(route, found[1])), route.path
        )
        return "/" + _REGEX.get(route.path, path)

    def _value(self, route: Route, argument: str) -> object:
        first = route.path.removeprefix("api/v1/").split("/")[0]
        if first == "admin":
            return {
                "object_id": self.event if "auditevent" in route.path else self.user_pk(),
                "id": self.user_pk(),
            }.get(argument, 1)
        known: dict[tuple[str, str], object] = {
            ("experiments", "pk"): self.experiment,
            ("runs", "run_id"): self.run,
            ("models", "name"): self.model,
            ("models", "version"): 1,
            ("endpoints", "name"): self.endpoint,
            ("endpoints", "deployment"): self.deployment,
            ("tokens", "pk"): self.token,
            ("settings", "pk"): self.token,
        }  # fmt: skip
        if argument == "username":
            return self.user
        return known[first, argument]

    def user_pk(self) -> int:
        found = User.objects.filter(username=self.user).values_list("pk", flat=True).first()
        return found or 987654


# Addresses of Django's administration that are written as regular expressions.
_REGEX = {
    r"admin/^(?P<app_label>accounts)/$": "admin/accounts/",
    r"admin/(?P<url>.*)$": "admin/anything",
    r"^mlflow/static-files/.": "mlflow/static-files/x.js",
}
NOBODYS = Theirs("f" * 32, 987654, "no-such", "no-such", "no-such", 987654, "no-such", 987654)


@pytest.fixture
def theirs(alice: User) -> Theirs:
    run = make_run(make_experiment(SECRET), SECRET, metrics={SECRET: 0.5}, params={"p": SECRET})
    make_version(SECRET, 1, run_id=run.pk)
    deployment = make_deployment(
        alice, make_endpoint(alice, SECRET, SECRET), SECRET, state=State.FAILED
    )
    token, _ = AccessToken.issue(user=alice, label=SECRET)
    event = AuditEvent.objects.create(actor="alice", action="walk", target=SECRET)
    assert run.experiment_id is not None
    return Theirs(
        run.pk, run.experiment_id, SECRET, SECRET, deployment.name, token.pk, "alice", event.pk
    )


def ask(client: Client, method: str, path: str) -> HttpResponseBase:
    body = {"name": "walked", "model_uri": f"models:/{SECRET}/1", "key": "primary", "label": "x"}
    if path.startswith("/api/"):
        return client.generic(
            method.upper(),
            path,
            str(body).replace("'", '"'),
            "application/json",
            headers={"Sec-Fetch-Site": "same-origin"},
        )
    return client.generic(method.upper(), f"{path}?key={SECRET}&path=x&text={SECRET[:5]}")


def test_every_line_of_the_lists_of_what_is_open_names_a_route() -> None:
    assert len(ROUTES) > 50
    for table in (OPEN_TO_ALL, OPEN_TO_USERS):
        assert [line for line in table if not any(re.fullmatch(line, r.path) for r in ROUTES)] == []


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path or "home")
def test_nobody_is_let_in_unsigned(client: Client, theirs: Theirs, route: Route) -> None:
    client.raise_request_exception = False
    for method in METHODS:
        response = ask(client, method, theirs.fill(route))
        if route.listed(OPEN_TO_ALL):
            assert response.status_code not in (401, 403, 500), method
        elif response.status_code == 302:
            assert re.match(r"/(admin/)?login/\?next=", response.headers["Location"]), method
        else:
            assert response.status_code == 401, method
    gc.collect()  # httpcore leaves a socket that found nobody to the garbage collector, which warns


def refused(response: HttpResponseBase) -> bool:
    """As a stranger is: sent to a door that is not his, or told that there is nothing."""
    if response.status_code == 302:
        return response.headers["Location"].startswith("/admin/login/")
    return response.status_code in (403, 404, 405)


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "route",
    [r for r in ROUTES if not r.listed(OPEN_TO_ALL)],
    ids=lambda route: route.path or "home",
)
def test_a_stranger_gets_nothing_and_cannot_tell_what_is_there(
    bob: User, theirs: Theirs, route: Route
) -> None:
    before = everything()
    for method in METHODS:
        client = Client(raise_request_exception=False)
        client.force_login(bob)
        there = ask(client, method, theirs.fill(route))
        if route.listed(OPEN_TO_USERS):
            assert there.status_code < 500 or there.status_code == 503, method
            assert SECRET not in text_of(there).replace(f"text={SECRET[:5]}", ""), method
            continue
        missing = ask(client, method, NOBODYS.fill(route))
        # The methods of an address, whatever it names.
        assert refused(there) or method == "options", there.status_code
        assert there.status_code == missing.status_code, method
        assert masked(there, theirs) == masked(missing, NOBODYS), method
    assert everything() == before
    gc.collect()


def text_of(response: HttpResponseBase) -> str:
    content = b"".join(response) if response.streaming else response.content  # type: ignore[attr-defined]
    random = r'csrfmiddlewaretoken" value="\w+|X-CSRFToken": "\w+|<svg.*?</svg>'
    return re.sub(random, "", content.decode(errors="replace"), flags=re.DOTALL)


def masked(response: HttpResponseBase, named: Theirs) -> str:
    """The answer without what the request itself has said, and without numbers: any may be somebody's id."""
    text = re.sub(r"\d+", "N", text_of(response))
    words = {re.sub(r"\d+", "N", str(value)) for value in named} - {"N"}
    for value in sorted(words, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(value)}\b", "N", text)
    return text


def everything() -> list[object]:
    """The owner's rows, as they are."""
    rows: list[object] = [*Run.objects.order_by("pk").values(), *ModelVersion.objects.values()]
    rows += [*Endpoint.objects.values(), *Deployment.objects.values()]
    rows += [*AccessToken.objects.filter(label=SECRET).values()]
    return [
        *rows,
        *User.objects.filter(username="alice").values("is_active", "is_superuser", "password"),
    ]
