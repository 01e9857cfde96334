"""What somebody has logged, opened by its address in a browser: it is shown or saved, and it runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Response, Route

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.training import client_of

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of what it imports
SEALED = "sandbox; default-src 'none'"
# Shows that it has run in three ways: by the title, by a request, and by what it reads.
SCRIPT = "document.title = 'it ran'; fetch('/livez?it-ran'); window.read = document.cookie;"
HTML = f'<!doctype html><title>quiet</title><h1>Hello</h1><img src=x onerror="{SCRIPT}"><script>{SCRIPT}</script>'
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{SCRIPT}"><h1 xmlns="http://www.w3.org/1999/xhtml">Hello</h1><script>{SCRIPT}</script></svg>'
STRANGE = 'a"; x=text; charset=utf-7.html'  # reads like a header's value
FILES = {
    "page.html": HTML,
    "drawing.svg": SVG,
    "page.xhtml": SVG,
    "code.js": "window.ran = true; self.postMessage && self.postMessage('ran');",
    "style.css": "body { --ran: yes }",
    STRANGE: HTML,
}


@dataclass(frozen=True)
class Logged:
    experiment_id: str
    run_id: str
    model_id: str

    def addresses(self, name: str) -> list[str]:
        """Every address of this file of the run."""
        path = quote(name, safe="")
        folder = f"mlflow-artifacts/artifacts/{self.experiment_id}/{self.run_id}/artifacts"
        return [
            f"/get-artifact?run_uuid={self.run_id}&path={path}",
            f"/mlflow/get-artifact?run_uuid={self.run_id}&path={path}",
            f"/api/2.0/{folder}/{path}",
            f"/ajax-api/2.0/{folder}/{path}",
            f"/mlflow/ajax-api/2.0/{folder}/{path}",
            f"/runs/{self.run_id}/download/?path={path}",
            f"/runs/{self.run_id}/download/?path={path}&inline",
        ]

    def addresses_by_model(self, name: str) -> list[str]:
        """Every address of this file of the logged model, and of the version that was made of it."""
        logged = f"ajax-api/2.0/mlflow/logged-models/{self.model_id}/artifacts/files?artifact_file_path={name}"
        version = f"model-versions/get-artifact?name=sandboxed&version=1&path={name}"
        return [f"{before}/{rest}" for rest in (logged, version) for before in ("", "/mlflow")]


@pytest.fixture(scope="module")
def logged(live: Studio, token: str) -> Logged:
    with client_of(live.url, token) as client:
        experiment_id = client.create_experiment("sandboxed")
        run_id = client.create_run(experiment_id).info.run_id
        for name, text in FILES.items():
            if name != STRANGE:
                client.log_text(run_id, text, name)
        model = client.create_logged_model(experiment_id)
        client.create_registered_model("sandboxed")
        client.create_model_version("sandboxed", model.artifact_location, model_id=model.model_id)
    where = f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}"
    with live.client(token) as api:
        folder = f"{where}/{run_id}/artifacts/{quote(STRANGE, safe='')}"
        assert api.put(folder, content=HTML.encode()).status_code == 200
        for name in ("page.html", "drawing.svg"):
            folder = f"{where}/models/{model.model_id}/artifacts/{name}"
            assert api.put(folder, content=FILES[name].encode()).status_code == 200
    return Logged(experiment_id, run_id, model.model_id)


@pytest.fixture
def page(live: Studio, chromium: Browser) -> Iterator[Page]:
    with browsers.tab(chromium) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD)
        yield tab.page


@pytest.mark.parametrize("name", FILES)
def test_every_address_of_a_file_is_sealed(
    live: Studio, token: str, logged: Logged, name: str
) -> None:
    more = logged.addresses_by_model(name) if name in ("page.html", "drawing.svg") else []
    with live.client(token) as api:
        for address in logged.addresses(name) + more:
            response = api.get(address)
            assert (response.status_code, response.text) == (200, FILES[name]), address
            assert response.headers.get_list("Content-Security-Policy") == [SEALED], address
            assert response.headers.get_list("X-Content-Type-Options") == ["nosniff"], address
            assert response.headers["Content-Disposition"].startswith("attachment"), address


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.xhtml", STRANGE])
def test_a_document_that_was_logged_runs_no_script_and_reads_no_cookie(
    live: Studio, page: Page, logged: Logged, name: str
) -> None:
    """Even if the browser were to show it: it saves it, so here what tells it to is taken away."""
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.route("**/*", _shown_as_a_document)
    more = logged.addresses_by_model(name) if name in ("page.html", "drawing.svg") else []
    for address in logged.addresses(name) + more:
        _opened(page, live.url + address)
        assert page.locator("h1").text_content() == "Hello", address
        assert page.title() != "it ran", address
        assert page.evaluate("self.origin") == "null", address
        assert page.evaluate(_COOKIE) == "SecurityError", address
    assert not [url for url in asked if "it-ran" in url]


def test_such_a_document_would_run_if_it_were_not_sealed(
    live: Studio, page: Page, logged: Logged
) -> None:
    """What the test above relies on."""
    page.route("**/*", _shown_as_a_document_unsealed)
    with page.expect_request("**/livez?it-ran"):
        _opened(page, live.url + logged.addresses("page.html")[0])
    assert page.title() == "it ran"
    assert "studio_csrf" in page.evaluate(_COOKIE)


def test_a_browser_saves_a_document_that_was_logged(
    live: Studio, page: Page, logged: Logged
) -> None:
    for address in logged.addresses("page.html"):
        with page.expect_download() as saved:
            page.evaluate("address => { location.href = address }", address)
        assert saved.value.suggested_filename == "page.html", address


@pytest.mark.parametrize("start", ["/experiments/", "/mlflow/"])
def test_no_page_loads_as_code_what_was_logged(
    live: Studio, page: Page, logged: Logged, start: str
) -> None:
    """To the policy of a page its own site is trusted, and logged files lie on that site."""
    page.goto(live.url + start)
    for address in logged.addresses("code.js"):
        assert page.evaluate(_LOAD_SCRIPT, address) == "refused", address
        assert page.evaluate("window.ran") is None, address
        assert page.evaluate(_START_WORKER, address) == "refused", address
    for address in logged.addresses("style.css"):
        assert page.evaluate(_LOAD_STYLE, address) == "refused", address
    assert page.evaluate(_LOAD_SCRIPT, "/mlflow/static-files/static/js/none.js") == "refused"
    own = page.evaluate("document.querySelector('script[src]').src")
    assert page.evaluate(_LOAD_SCRIPT, own) == "ran"  # so the answers above mean something


_COOKIE = "() => { try { return document.cookie } catch (refused) { return refused.name } }"
_LOAD_SCRIPT = """(address) => new Promise((told) => {
  const script = document.createElement("script");
  script.src = address;
  script.onload = () => told("ran");
  script.onerror = () => told("refused");
  document.head.append(script);
})"""
_LOAD_STYLE = """(address) => new Promise((told) => {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = address;
  link.onload = () => told("obeyed");
  link.onerror = () => told("refused");
  document.head.append(link);
})"""
_START_WORKER = """(address) => new Promise((told) => {
  try {
    const worker = new Worker(address);
    worker.onmessage = () => told("ran");
    worker.onerror = () => told("refused");
  } catch { told("refused"); }
})"""


def _opened(page: Page, url: str) -> Response:
    response = page.goto(url)
    assert response is not None
    assert response.status == 200, url
    return response


def _shown_as_a_document(route: Route, *, unsealed: bool = False) -> None:
    """The answer as it is, but neither as a download nor of a type that a browser would not show."""
    if route.request.resource_type != "document":
        route.continue_()
        return
    answer = route.fetch(max_redirects=0)
    headers = {k: v for k, v in answer.headers.items() if k != "content-disposition"}
    if headers.get("content-type", "").startswith(("application/octet-stream", "text/plain")):
        headers["content-type"] = "text/html"
    if unsealed:
        del headers["content-security-policy"]
    route.fulfill(response=answer, headers=headers)


def _shown_as_a_document_unsealed(route: Route) -> None:
    _shown_as_a_document(route, unsealed=True)
