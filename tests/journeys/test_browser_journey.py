"""From the sign-in page to a prediction from a shell, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.training import Trained, client_of, train_iris

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other


@pytest.fixture(scope="module")
def trained(live: Studio, token: str) -> Trained:
    with client_of(live.url, token):
        return train_iris("browser journey", "from-the-browser")


def test_from_sign_in_to_a_prediction_from_a_shell(
    live: Studio, trained: Trained, chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        page = tab.page
        browsers.sign_in(page, live.url, PASSWORD)
        _find_the_run(page, live)
        _see_its_chart(page)
        _register(page)
        _deploy(page)
        predicted = _try_it(page)
        assert predicted == {"predictions": [0, 0, 0, 0, 0]}
        assert _run_the_snippet(page) == predicted
        assert tab.complaints == []


def _find_the_run(page: Page, live: Studio) -> None:
    page.get_by_role("link", name="Experiments", exact=True).click()
    page.get_by_role("link", name="browser journey").click()
    page.get_by_role("link", name="from-the-browser").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("from-the-browser")


def _see_its_chart(page: Page) -> None:
    chart = page.locator(".plot[data-name='val/loss']")
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_attribute("data-drawn", "")
    drawn = "node => node.querySelector('.js-plotly-plot').data.map(trace => [trace.x.length, trace.y.length])"
    assert chart.evaluate(drawn) == [[50, 50]]
    assert browsers.colours_in(chart.locator(".cartesianlayer")) > 5


def _register(page: Page) -> None:
    page.get_by_role("link", name="Register model").first.click()
    page.get_by_label("Name").fill("browser-iris")
    page.get_by_role("button", name="Register model").click()
    expect(page.locator("p.note[role=status]")).to_contain_text(
        "Registered as browser-iris, version 1"
    )


def _deploy(page: Page) -> None:
    page.get_by_role("link", name="Deploy").click()
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("browser-iris")
    expect(page.locator(".steps")).to_contain_text("Building the environment")
    expect(page.locator("pre.log")).to_contain_text("resolving models:/browser-iris/1")
    page.evaluate("document.body.dataset.seen = 'from the beginning'")
    expect(page.locator(".head .pill")).to_have_text("Live", timeout=90_000)
    # Nothing was taken from who has watched: the steps, the log, the page itself.
    expect(page.locator("body")).to_have_attribute("data-seen", "from the beginning")
    expect(page.locator(".steps .done")).to_have_count(6)
    expect(page.locator("pre.log")).to_contain_text("resolving models:/browser-iris/1")
    expect(page.get_by_role("link", name="Send a request")).to_be_visible()


def _try_it(page: Page) -> object:
    page.get_by_role("link", name="Test").click()
    page.get_by_role("button", name="Predict").click()
    answer = page.locator("[data-answer]")
    expect(answer).to_contain_text("predictions")
    return json.loads(answer.inner_text())


def _run_the_snippet(page: Page) -> object:
    """Reveal the key and run the curl command as it stands."""
    page.get_by_role("link", name="Consume").click()
    snippet = page.locator(".code pre").first
    expect(snippet).to_contain_text("$STUDIO_KEY")
    page.get_by_role("button", name="Reveal keys").click()
    expect(snippet).not_to_contain_text("$STUDIO_KEY")
    command = snippet.inner_text()
    assert re.search(r"Bearer [\w-]{40,}", command)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_link_that_mlflows_client_prints_leads_to_studios_page(
    live: Studio, trained: Trained, chromium: Browser
) -> None:
    printed = f"{live.url}/#/experiments/{trained.experiment_id}/runs/{trained.run_id}"
    with browsers.tab(chromium) as tab:
        page = tab.page
        page.goto(printed)
        expect(page.locator("[name=next]")).to_have_value(f"/runs/{trained.run_id}/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("from-the-browser")
        page.goto(f"{live.url}/")
        page.goto(printed)
        expect(page.get_by_role("heading", level=1)).to_have_text("from-the-browser")
        assert tab.complaints == []
