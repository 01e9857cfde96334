"""Every page in a browser: no console error, no policy report, nothing wider than the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mlflow
import pytest
from django.urls import URLResolver, get_resolver, resolve
from mlflow.server.auth.client import AuthServiceClient
from playwright.sync_api import Browser, Page

from studio.lib.http import PROGRAM_PATHS
from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.processes import until
from tests.support.training import Trained, client_of, sweep, train_iris

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other
DEPLOYMENT = "endpoints/<str:name>/deployments/<str:deployment>/"
# Addresses that are no pages of Studio's, and why not.
NOT_PAGES = {
    "livez": "a word for programs",
    "healthz": "data for programs",
    "metrics": "data for Prometheus",
    "favicon.ico": "leads to a picture",
    "find/": "a part of every page: what the palette finds",
    "runs/<str:run_id>/artifacts/": "a part of the run's page",
    "runs/<str:run_id>/preview/": "a part of the run's page",
    "runs/<str:run_id>/download/": "a file",
    "runs/<str:run_id>/registered/": "a part of the run's page",
    "endpoints/<str:name>/overview/": "a part of the endpoint's page",
    f"{DEPLOYMENT}log/": "a part of the endpoint's page",
    f"{DEPLOYMENT}log/download/": "a file",
    f"{DEPLOYMENT}replicas/": "a part of the endpoint's page",
    "administration/": "leads to its first page",
    "mlflow": "leads to MLflow's own UI",
    "mlflow/": "MLflow's own UI, which has tests of its own",
}
ONLY_POST = {
    "series/",
    "logout/",
    "settings/tokens/<int:pk>/revoke/",
    "endpoints/<str:name>/test/",
    "endpoints/<str:name>/keys/",
    *(f"{DEPLOYMENT}{what}/" for what in ("retry", "start", "restart")),
    *(
        f"administration/users/<str:username>/{what}/"
        for what in ("password-link", "active", "administrator", "lockouts", "endpoints")
    ),
}


@dataclass(frozen=True)
class Filled:
    """A Studio with something on every page."""

    trained: Trained
    parent: str
    password_link: str

    @property
    def open(self) -> list[str]:
        """What everybody sees."""
        return ["/login/", self.password_link]

    @property
    def readable(self) -> list[str]:
        """What somebody sees who has READ on experiment, model and endpoint."""
        experiment = f"/experiments/{self.trained.experiment_id}/"
        run = f"/runs/{self.trained.run_id}/"
        return [
            "/",
            "/experiments/",
            "/experiments/?search=nothing-is-called-this",
            experiment,
            f"{experiment}?filter=metrics.loss+%3C+2&order_by=metrics.loss+DESC",
            f"{experiment}?filter=nonsense",
            f"{experiment}?state=deleted",
            run,
            f"{run}?tab=artifacts",
            f"{run}?tab=models",
            f"/runs/{self.parent}/?tab=children",
            f"/runs/{self.parent}/?tab=artifacts",
            "/models/",
            "/models/pages-model/",
            "/models/pages-model/versions/1/",
            "/endpoints/",
            "/endpoints/pages-endpoint/",
            "/endpoints/pages-endpoint/?tab=test",
            "/endpoints/pages-endpoint/?tab=consume",
            "/settings/tokens/",
            "/settings/password/",
        ]

    @property
    def all(self) -> list[str]:
        """What an administrator sees."""
        return [
            *self.readable,
            f"/runs/{self.trained.run_id}/register/",
            "/models/pages-model/versions/1/deploy/",
            "/endpoints/pages-endpoint/delete/",
            "/endpoints/pages-endpoint/deployments/broken/delete/",
            "/endpoints/pages-endpoint/deployments/broken/stop/",
            "/endpoints/pages-endpoint/deployments/broken/size/",
            "/endpoints/pages-endpoint/?tab=logs&deployment=broken&attempt=1#error",
            f"/experiments/{self.trained.experiment_id}/access/",
            "/models/pages-model/access/",
            "/endpoints/pages-endpoint/access/",
            "/administration/health/",
            "/administration/users/",
            "/administration/users/?search=nobody-is-called-this",
            "/administration/users/paula/",
            "/administration/users/paula/delete/",
        ]


@pytest.fixture(scope="module")
def filled(live: Studio, token: str) -> Filled:
    """A trained run, a parent run, a model, an endpoint with a deployment that failed, and paula, who may read."""
    with client_of(live.url, token) as client:
        trained = train_iris("pages")
        parent, _ = sweep(client, trained.experiment_id)
        client.log_text(parent, "a,b\n1,2\n", "tables/rows.csv")
        mlflow.register_model(f"models:/{trained.model_id}", "pages-model")
        client.create_registered_model("pages-broken")
        client.create_model_version("pages-broken", f"runs:/{parent}/tables", parent)
        made = f"from studio.accounts.models import User; User.objects.create_user('paula', password='{PASSWORD}')"
        live.manage("shell", "-c", made)
        grants = AuthServiceClient(live.url)
        grants.grant_user_permission("paula", "experiment", trained.experiment_id, "READ")
        grants.grant_user_permission("paula", "registered_model", "pages-model", "READ")
    with live.client(token) as api:
        endpoint = "/api/v1/endpoints/pages-endpoint"
        api.post("/api/v1/endpoints", json={"name": "pages-endpoint"})
        broken = {"name": "broken", "model_uri": "models:/pages-broken/1"}
        assert api.post(f"{endpoint}/deployments", json=broken).status_code == 202
        given = api.put(f"{endpoint}/grants/paula", json={"permission": "READ"})
        assert given.status_code == 200
        until(
            lambda: api.get(f"{endpoint}/deployments/broken").json()["state"] == "failed",
            "the deployment of no model",
        )
    link = live.manage("password-link", "paula").split()[-1]
    return Filled(trained, parent, link.removeprefix(live.url))


def test_every_address_of_studio_is_visited_or_is_no_page(filled: Filled) -> None:
    others = (*PROGRAM_PATHS, "/admin/", "/^")
    pages = {route for route in _routes(get_resolver()) if not f"/{route}".startswith(others)}
    visited = {resolve(path.partition("?")[0]).route for path in filled.all + filled.open}
    assert pages - visited == NOT_PAGES.keys() | ONLY_POST
    assert visited <= pages


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_no_page_complains_or_is_wider_than_the_window(
    live: Studio, filled: Filled, chromium: Browser, width: int, theme: browsers.Theme
) -> None:
    with browsers.tab(chromium, width=width, theme=theme) as tab:
        for path in filled.open:
            tab.page.goto(f"{live.url}{path}")
            _fits(tab.page)
        browsers.sign_in(tab.page, live.url, PASSWORD)
        for path in filled.all:
            _visit(tab.page, live.url + path)
        assert tab.complaints == []


def test_no_page_complains_to_somebody_who_may_only_read(
    live: Studio, filled: Filled, chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD, "paula")
        for path in filled.readable:
            _visit(tab.page, live.url + path)
        assert tab.complaints == []


def test_djangos_administration_complains_of_nothing(
    live: Studio, filled: Filled, chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD)
        tab.page.goto(f"{live.url}/admin/")
        links = tab.page.locator("#content a[href^='/admin/']").all()
        paths = {link.get_attribute("href") or "" for link in links}
        assert "/admin/accounts/auditevent/" in paths
        for path in sorted(paths):
            tab.page.goto(f"{live.url}{path}")
            assert tab.page.locator("#content h1").count() == 1, path
        tab.page.goto(f"{live.url}/admin/accounts/auditevent/")
        tab.page.locator("#result_list tbody th a").first.click()
        tab.page.wait_for_url("**/change/")
        assert tab.complaints == []


def test_the_palette_finds_a_run_by_keyboard_alone(
    live: Studio, filled: Filled, chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        page = tab.page
        browsers.sign_in(page, live.url, PASSWORD)
        page.goto(f"{live.url}/models/")
        page.locator("html[data-mounted]").wait_for()
        page.keyboard.press("Control+k")
        page.keyboard.type(filled.trained.run_id[:12])
        page.locator(f"#palette a.chosen[href='/runs/{filled.trained.run_id}/']").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url(f"{live.url}/runs/{filled.trained.run_id}/")
        assert tab.complaints == []


def test_light_and_dark_are_remembered(live: Studio, chromium: Browser) -> None:
    with browsers.tab(chromium, theme="light") as tab:
        page = tab.page
        browsers.sign_in(page, live.url, PASSWORD)
        page.locator("html[data-mounted]").wait_for()
        before = _background(page)
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Light or dark").click()
        after = _background(page)
        page.reload()
        assert before != after == _background(page)
        assert tab.complaints == []


def _routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = f"{before}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern, route)
        else:
            yield route


def _visit(page: Page, url: str) -> None:
    response = page.goto(url)
    assert response is not None
    assert response.status == 200, url
    page.locator("html[data-mounted]").wait_for()
    assert page.locator("h1").count() == 1, url
    _fits(page)


def _fits(page: Page) -> None:
    wider = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(wider), f"{page.url} is wider than the window"


def _background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
