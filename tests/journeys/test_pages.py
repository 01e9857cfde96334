"""Every page in a browser: no console error, no policy report, nothing wider than the window."""

from __future__ import annotations

from collections.abc import Iterator

import mlflow
import pytest
from playwright.sync_api import Browser, Page

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.training import Trained, client_of, sweep, train_iris

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other


@pytest.fixture(scope="module")
def filled(live: Studio, token: str) -> tuple[Trained, str]:
    """A Studio with something on every page: a trained run, a parent run, a model, an endpoint."""
    with client_of(live.url, token) as client:
        trained = train_iris("pages")
        parent, _ = sweep(client, trained.experiment_id)
        client.log_text(parent, "a,b\n1,2\n", "tables/rows.csv")
        mlflow.register_model(f"models:/{trained.model_id}", "pages-model")
    with live.client(token) as api:
        api.post("/api/v1/endpoints", json={"name": "pages-endpoint"})
    return trained, parent


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.browser() as started:
        yield started


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_no_page_complains_or_is_wider_than_the_window(
    live: Studio, filled: tuple[Trained, str], chromium: Browser, width: int, theme: browsers.Theme
) -> None:
    with browsers.tab(chromium, width=width, theme=theme) as tab:
        tab.page.goto(f"{live.url}/login/")
        _fits(tab.page)
        browsers.sign_in(tab.page, live.url, PASSWORD)
        for path in _paths(*filled):
            tab.page.goto(f"{live.url}{path}")
            tab.page.locator("html[data-mounted]").wait_for()
            assert tab.page.locator("h1").count() == 1, path
            _fits(tab.page)
        assert tab.complaints == []


def test_the_palette_finds_a_run_by_keyboard_alone(
    live: Studio, filled: tuple[Trained, str], chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        page = tab.page
        browsers.sign_in(page, live.url, PASSWORD)
        page.goto(f"{live.url}/models/")
        page.locator("html[data-mounted]").wait_for()
        page.keyboard.press("Control+k")
        page.keyboard.type(filled[0].run_id[:12])
        page.get_by_role("link", name="trained").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url(f"{live.url}/runs/{filled[0].run_id}/")
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


def _paths(trained: Trained, parent: str) -> list[str]:
    run = f"/runs/{trained.run_id}/"
    return [
        "/",
        "/experiments/",
        "/experiments/?search=nothing-is-called-this",
        f"/experiments/{trained.experiment_id}/",
        f"/experiments/{trained.experiment_id}/?filter=metrics.loss+%3C+2&order_by=metrics.loss+DESC",
        f"/experiments/{trained.experiment_id}/?filter=nonsense",
        f"/experiments/{trained.experiment_id}/?state=deleted",
        run,
        f"{run}?tab=artifacts",
        f"{run}?tab=models",
        f"{run}register/",
        f"/runs/{parent}/?tab=children",
        f"/runs/{parent}/?tab=artifacts",
        "/models/",
        "/models/pages-model/",
        "/models/pages-model/versions/1/",
        "/models/pages-model/versions/1/deploy/",
        "/endpoints/",
        "/endpoints/pages-endpoint/",
        "/endpoints/pages-endpoint/?tab=test",
        "/endpoints/pages-endpoint/?tab=consume",
        "/endpoints/pages-endpoint/delete/",
        "/settings/tokens/",
    ]


def _fits(page: Page) -> None:
    wider = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(wider), f"{page.url} is wider than the window"


def _background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
