"""What only a browser can tell of pages on a telephone, of copying and of the palette."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.processes import until

NARROW = 390
# Without a dash, after which a line may be broken.
ENDPOINT = "anendpointofalongandlongername"
LONG = "a-name-as-long-as-names-may-be"


@pytest.fixture(scope="module")
def run(live: Studio, token: str) -> str:
    """A run with a model of an older client, registered and deployed, which fails."""
    with live.client(token) as api:
        mlflow = "/api/2.0/mlflow"
        made = api.post(f"{mlflow}/experiments/create", json={"name": "small screens"}).json()
        history = {
            "key": "mlflow.log-model.history",
            "value": json.dumps([{"artifact_path": LONG}]),
        }
        body = {"experiment_id": made["experiment_id"], "run_name": "small", "tags": [history]}
        run_id: str = api.post(f"{mlflow}/runs/create", json=body).json()["run"]["info"]["run_id"]
        api.post(f"{mlflow}/registered-models/create", json={"name": "small-model"})
        version = {"name": "small-model", "source": f"runs:/{run_id}/{LONG}", "run_id": run_id}
        api.post(f"{mlflow}/model-versions/create", json=version).raise_for_status()
        alias = {"name": "small-model", "alias": LONG, "version": "1"}
        api.post(f"{mlflow}/registered-models/alias", json=alias).raise_for_status()
        assert api.post("/api/v1/tokens", json={"label": LONG}).status_code == 201
        for endpoint, name in ((ENDPOINT, LONG), ("small", "version-1")):
            assert api.post("/api/v1/endpoints", json={"name": endpoint}).status_code == 201
            path = f"/api/v1/endpoints/{endpoint}/deployments"
            broken = {"name": name, "model_uri": "models:/small-model/1"}
            assert api.post(path, json=broken).status_code == 202
            until(partial(_has_failed, api, f"{path}/{name}"), name)
    return run_id


def _has_failed(api: httpx.Client, path: str) -> bool:
    return bool(api.get(path).json()["state"] == "failed")


@pytest.fixture
def narrow(live: Studio, chromium: Browser) -> Iterator[Page]:
    with browsers.tab(chromium, width=NARROW) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD)
        yield tab.page
        assert tab.complaints == []


def box(element: Locator) -> FloatRect:
    element.wait_for()
    found = element.bounding_box()
    assert found is not None
    return found


def in_view(element: Locator) -> bool:
    """Whether it lies within the width of the window, and nothing lies over its middle."""
    place = box(element)
    inside = place["x"] >= 0 and place["x"] + place["width"] <= NARROW
    on_top = """node => {
      const {left, top, width, height} = node.getBoundingClientRect();
      return node.contains(document.elementFromPoint(left + width / 2, top + height / 2));
    }"""
    return inside and bool(element.evaluate(on_top))


def test_what_is_done_to_a_row_is_in_view(live: Studio, run: str, narrow: Page) -> None:
    for path, name in (
        ("/settings/tokens/", "Revoke"),
        (f"/runs/{run}/?tab=models", "Register model"),
        ("/models/small-model/", "Deploy"),
        (f"/endpoints/{ENDPOINT}/", "Delete"),
    ):
        narrow.goto(f"{live.url}{path}")
        row = narrow.locator("tr", has_text=LONG)
        assert in_view(row.locator("td.act .btn", has_text=name)), path


def test_a_deployments_replicas_are_in_view(live: Studio, run: str, narrow: Page) -> None:
    narrow.goto(f"{live.url}/endpoints/small/")
    assert in_view(narrow.locator("#overview td", has_text="0 / 1"))


def test_a_long_address_is_cut_and_its_icon_is_not(live: Studio, run: str, narrow: Page) -> None:
    narrow.goto(f"{live.url}/endpoints/{ENDPOINT}/")
    button = narrow.locator(".head button[data-module=copy]")
    icon = box(button.locator(".swap svg").first)
    assert icon["width"] == 14
    assert in_view(button.locator(".swap"))
    cut = "node => node.scrollWidth > node.clientWidth && getComputedStyle(node).textOverflow"
    assert button.locator("span").first.evaluate(cut) == "ellipsis"


def test_an_address_in_a_text_stays_in_its_card(live: Studio, run: str, narrow: Page) -> None:
    for path in (f"/endpoints/{ENDPOINT}/?tab=consume", f"/endpoints/{ENDPOINT}/delete/"):
        narrow.goto(f"{live.url}{path}")
        place = box(narrow.locator("p .mono", has_text="/invocations"))
        assert place["x"] + place["width"] <= NARROW, path


def test_the_filter_of_runs_takes_two_rows(live: Studio, run: str, narrow: Page) -> None:
    narrow.goto(f"{live.url}/experiments/")
    narrow.get_by_role("link", name="small screens").click()
    field, state, button = (
        box(narrow.locator(f".filters {part}"))
        for part in ("input[name=filter]", "select", "button")
    )
    assert field["y"] < state["y"]
    assert abs(state["y"] + state["height"] / 2 - button["y"] - button["height"] / 2) < 3


def test_to_copy_moves_nothing(live: Studio, run: str, chromium: Browser) -> None:
    with browsers.tab(chromium) as tab:
        page = tab.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        browsers.sign_in(page, live.url, PASSWORD)
        page.goto(f"{live.url}/endpoints/{ENDPOINT}/?tab=consume")
        page.locator("html[data-mounted]").wait_for()
        for button in (
            page.locator(".head button[data-module=copy]"),
            page.locator(".code .btn").first,
        ):
            before, text = box(button), button.inner_text()
            button.click()
            expect(button).to_have_attribute("data-copied", "")
            expect(button).to_have_attribute("title", "Copied")
            assert box(button) == before
            assert button.inner_text().replace("Copied", "").strip() == text.strip()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied == button.get_attribute("data-text")
            expect(button).not_to_have_attribute("data-copied", "")
        assert tab.complaints == []


def test_the_palette_chooses_the_first_and_arrows_choose_on(
    live: Studio, run: str, chromium: Browser
) -> None:
    with browsers.tab(chromium) as tab:
        page = tab.page
        browsers.sign_in(page, live.url, PASSWORD)
        page.locator("html[data-mounted]").wait_for()
        page.keyboard.press("Control+k")
        chosen = page.locator("#palette a.chosen")
        expect(chosen).to_contain_text("Home")
        page.keyboard.type("small")
        expect(page.locator("#palette a")).to_have_count(4)  # endpoint, model, experiment, run
        expect(chosen).to_have_attribute("href", "/endpoints/small/")
        page.keyboard.press("ArrowDown")
        expect(chosen).to_contain_text("small-model")
        expect(chosen).to_have_count(1)
        active = page.locator("#palette input").get_attribute("aria-activedescendant")
        assert chosen.get_attribute("id") == active
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(chosen).to_have_attribute("href", f"/runs/{run}/")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{live.url}/runs/{run}/")
        assert tab.complaints == []
