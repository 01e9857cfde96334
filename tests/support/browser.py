"""Chromium, and what it complains of."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

Theme = Literal["light", "dark"]
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Kept over page loads by the page's own session storage, so that no report is lost.
_LISTEN = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


@dataclass
class Tab:
    """A page, and every console error, uncaught error and policy report that it made."""

    page: Page
    complaints: list[str] = field(default_factory=list)


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    raise AssertionError(
        "The browser tests need Chromium: run 'apt-get install chromium' and try again."
    )


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=_FLAGS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def tab(
    browser: Browser, *, width: int = 1440, theme: Theme = "light", proxy: str = ""
) -> Iterator[Tab]:
    """A page of its own. What is for another host than this one goes to `proxy`, if there is one."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=theme,
        proxy={"server": proxy, "bypass": "127.0.0.1"} if proxy else None,
    )
    context.add_init_script(_LISTEN)
    context.set_default_timeout(20_000)
    opened = Tab(context.new_page())
    opened.page.on("pageerror", lambda error: opened.complaints.append(f"uncaught: {error}"))
    opened.page.on(
        "console",
        lambda message: (
            opened.complaints.append(f"{opened.page.url}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    try:
        yield opened
    finally:
        context.close()


def sign_in(page: Page, url: str, password: str, username: str = "admin") -> None:
    page.goto(f"{url}/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "/login/" not in address)


def colours_in(element: Locator) -> int:
    """How many different colours a screenshot of the element has: one is an empty area."""
    with Image.open(io.BytesIO(element.screenshot())) as image:
        found = image.convert("RGB").getcolors(maxcolors=1 << 24)
    assert found is not None
    return len(found)
