"""A browser that was given a password by its own prompt sends it with every request, whoever's page asks for that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio

FORM = """<form method="post" action="{0}/settings/tokens/"><input name="label" value="forged"><button>Win</button></form>
<form method="post" action="{0}/graphql"><input name="x"><button>Ask</button></form>"""


@pytest.fixture
def evil(live: Studio) -> Iterator[str]:
    """The address of a page on another site."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(FORM.format(live.url).encode())

        def log_message(self, *told: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.serve_forever, args=[0.05])
        serving.start()
        yield f"http://localhost:{server.server_address[1]}/"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(("button", "path"), [("Win", "/settings/tokens/"), ("Ask", "/graphql")])
def test_another_site_does_nothing_with_a_remembered_password(
    live: Studio, token: str, evil: str, button: str, path: str
) -> None:
    with browsers.browser() as chromium, browsers.tab(chromium) as tab:
        page = tab.page
        # What its prompt does: for all below this address, so for the whole of Studio.
        page.goto(f"http://admin:{PASSWORD}@{urlsplit(live.url).netloc}/version")
        page.goto(evil)
        with page.expect_response(f"{live.url}{path}") as answered:
            page.get_by_role("button", name=button).click()
        assert answered.value.request.all_headers()["authorization"].startswith("Basic ")
        assert answered.value.status == 403
    with live.client(token) as api:
        assert "forged" not in api.get("/api/v1/tokens").text


def test_a_program_writes_with_its_password(live: Studio) -> None:
    given = {"label": "by hand"}
    made = httpx.post(f"{live.url}/api/v1/tokens", json=given, auth=("admin", PASSWORD))
    assert made.status_code == 201
