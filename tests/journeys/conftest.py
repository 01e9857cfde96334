"""Somebody at a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.browser() as started:
        yield started


@pytest.fixture
def page(live: Studio, chromium: Browser) -> Iterator[Page]:
    """Somebody's who has signed in. It has complained of nothing at the end."""
    with browsers.tab(chromium) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD)
        yield tab.page
        assert tab.complaints == []
