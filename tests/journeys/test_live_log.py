"""A log that grows, in a real browser: it is followed, read, searched and taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import browser as browsers
from tests.support.live import PASSWORD, Studio
from tests.support.processes import until

LINES = 3000  # more than a page begins with
# A deployment that a worker holds for some minutes: nothing becomes of it meanwhile.
MAKE = """
from datetime import timedelta
from django.utils.timezone import now
from endpoints.models import Attempt, AttemptStep, Deployment, Endpoint, State
from studio.accounts.models import User
admin = User.objects.get(username="admin")
held = {"state": State.BUILDING, "lease_holder": "a test", "lease_until": now() + timedelta(minutes=4)}
endpoint = Endpoint.objects.create(name="live-log", created_by=admin)
row = Deployment(endpoint=endpoint, name="blue", model_name="m", model_version=1, created_by=admin, **held)
row.save()
attempt = Attempt.objects.create(deployment=row, number=1)
AttemptStep.objects.create(attempt=attempt, name=State.BUILDING)
print(row.pk)
"""


@pytest.fixture(scope="module")
def log(live: Studio, token: str) -> Iterator[Path]:
    """The log of an attempt that is on its way."""
    pk = live.manage("shell", "-v", "0", "-c", MAKE).splitlines()[-1]
    path = live.home / "logs" / "deployments" / pk / "1-build.log"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"12:00:00 line {number}\n" for number in range(LINES)))
    yield path
    with live.client(token) as api:
        assert api.delete("/api/v1/endpoints/live-log").status_code == 202


@pytest.fixture
def opened(live: Studio, log: Path, chromium: Browser) -> Iterator[Page]:
    with browsers.tab(chromium) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD)
        tab.page.goto(f"{live.url}/endpoints/live-log/?tab=logs")
        tab.page.locator("html[data-mounted]").wait_for()
        yield tab.page
        assert tab.complaints == []


def say(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.writelines(f"12:00:01 {line}\n" for line in lines)


def below(shown: Locator) -> int:
    """How much of it lies below what is seen, in pixels."""
    return int(shown.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight"))


def test_it_is_followed_until_the_reader_scrolls_up_and_again_when_he_asks(
    opened: Page, log: Path
) -> None:
    shown, button = opened.locator("pre.log"), opened.locator("[data-follow]")
    expect(button).to_have_text("Pause")
    assert below(shown) < 2
    say(log, "a first one")
    expect(shown).to_contain_text("a first one")
    assert below(shown) < 2

    shown.hover()
    opened.mouse.wheel(0, -500)
    expect(button).to_have_text("Follow")
    place = shown.evaluate("log => log.scrollTop")
    say(log, "a second one", "a third one")
    expect(button).to_have_text("Follow · 2 new")
    assert shown.evaluate("log => log.scrollTop") == place

    button.click()
    expect(button).to_have_text("Pause")
    until(lambda: below(shown) < 2, "the end is in view")
    button.click()
    expect(button).to_have_text("Follow")


def test_what_is_sought_is_found_counted_and_gone_through(opened: Page, log: Path) -> None:
    say(log, "a needle", "and hay", "a Needle and a NEEDLE")
    shown, field = opened.locator("pre.log"), opened.get_by_label("Search the log")
    expect(shown).to_contain_text("NEEDLE")
    opened.keyboard.press("/")
    expect(field).to_be_focused()
    opened.keyboard.type("needle")
    count = opened.locator(".logs output")
    expect(count).to_have_text("1 of 3")
    assert opened.evaluate("CSS.highlights.get('log-found').size") == 3
    for key, told in (("Enter", "2"), ("Enter", "3"), ("Enter", "1"), ("Shift+Enter", "3")):
        opened.keyboard.press(key)
        expect(count).to_have_text(f"{told} of 3")
    say(log, "one needle more")  # what comes is found, and the place is kept
    expect(count).to_have_text("3 of 4")
    field.fill("line 1234")
    expect(count).to_have_text("1 of 1")
    expect(opened.locator("[data-follow]")).to_have_text("Follow")  # it lies far above
    field.fill("no such words")
    expect(count).to_have_text("none")
    opened.keyboard.press("Escape")
    expect(field).to_have_value("")
    expect(count).to_have_text("")


def test_of_a_long_log_the_page_has_the_end_and_the_file_has_all(
    opened: Page, log: Path, tmp_path: Path
) -> None:
    shown = opened.locator("pre.log span")
    assert shown.count() == 2000
    expect(opened.locator("[data-cut]")).to_be_visible()
    with opened.expect_download() as download:
        opened.get_by_role("link", name="Download the whole log").click()
    assert download.value.suggested_filename == "live-log-blue-attempt-1.log"
    download.value.save_as(tmp_path / "log")
    assert (tmp_path / "log").read_text() == log.read_text()


def test_without_scripts_the_log_is_there_and_nothing_that_needs_one(
    live: Studio, log: Path, chromium: Browser
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    browsers.sign_in(page, live.url, PASSWORD)
    page.goto(f"{live.url}/endpoints/live-log/?tab=logs")
    expect(page.locator("pre.log")).to_contain_text(f"line {LINES - 1}")
    expect(page.get_by_role("link", name="Download the whole log")).to_be_visible()
    expect(page.get_by_label("Search the log")).to_be_hidden()
    expect(page.locator("[data-follow]")).to_be_hidden()
    context.close()


def test_a_line_that_says_that_it_failed_stands_out_as_it_comes(opened: Page, log: Path) -> None:
    say(log, "FAILED: the build was killed.")
    expect(opened.locator("pre.log .bad").last).to_contain_text("the build was killed.")
