"""A part of a page that is changed in place (static/js/live.js), in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from tests.support import browser as browsers

SCRIPT = Path(__file__).parents[2] / "static" / "js" / "live.js"
# What htmx does before it swaps, as far as the module can see.
ANSWER = """([source, html]) => import(source).then(({ mount }) => {
  const part = document.getElementById("part");
  const processed = [];
  if (!part.dataset.mounted) mount(part, { process: (element) => processed.push(element.id) });
  part.dataset.mounted = "yes";
  const detail = { serverResponse: html, shouldSwap: true, isError: false };
  part.dispatchEvent(new CustomEvent("htmx:beforeSwap", { bubbles: true, detail }));
  return { swap: detail.shouldSwap, processed };
})"""


@pytest.fixture(scope="module")
def blank() -> Iterator[Page]:
    with browsers.browser() as started, browsers.tab(started) as tab:
        yield tab.page
        assert tab.complaints == []


def answer(page: Page, html: str) -> dict[str, object]:
    told: dict[str, object] = page.evaluate(
        ANSWER, [f"data:text/javascript,{quote(SCRIPT.read_text())}", html]
    )
    return told


def part(inside: str, attributes: str = "") -> str:
    return f'<div id="part" {attributes}>{inside}</div>'


def test_what_has_not_changed_is_not_touched(blank: Page) -> None:
    rows = "<tr id='r{0}'><td>{0}</td><td><a href='#' id='a{0}'>Log</a></td><td>{1}</td></tr>"
    table = "<table><tbody>{}</tbody></table>"
    menu = "<details id='way'><summary>Steps</summary>{}</details>"
    first = rows.format(1, "10 MB") + rows.format(2, "20 MB")
    blank.set_content(part(table.format(first) + menu.format("one")))
    blank.locator("#a2").focus()
    blank.locator("#way summary").click()
    blank.locator("#a2").focus()
    blank.evaluate("window.kept = document.getElementById('r2')")
    second = rows.format(9, "1 MB") + rows.format(2, "21 MB")  # one has gone, another has come
    told = answer(blank, part(table.format(second) + menu.format("two"), 'hx-get="/x"'))
    assert told == {"swap": False, "processed": ["part"]}
    assert blank.locator("tr").all_inner_texts() == ["9\tLog\t1 MB", "2\tLog\t21 MB"]
    assert blank.evaluate("document.getElementById('r2') === kept")
    assert blank.evaluate("document.activeElement.id") == "a2"
    assert blank.locator("#way").get_attribute("open") is not None
    assert blank.locator("#way").inner_text().endswith("two")
    assert blank.locator("#part").get_attribute("hx-get") == "/x"
    third = rows.format(2, "22 MB") + rows.format(9, "gone")  # they change places
    answer(blank, part(table.format(third) + menu.format("two")))
    assert blank.locator("tr").all_inner_texts() == ["2\tLog\t22 MB", "9\tLog\tgone"]
    assert blank.evaluate("document.activeElement.id") == "a2"
    assert blank.locator("#part").get_attribute("hx-get") is None


def test_what_comes_before_does_not_take_the_place_of_what_has_a_name(blank: Page) -> None:
    blank.set_content(part("<div id='card'><button id='b'>Stop</button></div>"))
    blank.locator("#b").focus()
    answer(
        blank, part("<div id='told'>live</div>\n<div id='card'><button id='b'>Stop</button></div>")
    )
    assert blank.evaluate("document.activeElement.id") == "b"
    assert blank.locator("#part > div").evaluate_all("all => all.map(({ id }) => id)") == [
        "told",
        "card",
    ]


def test_a_clock_counts_on_and_another_takes_its_place(blank: Page) -> None:
    clock = "<span id='{}' data-module='elapsed' data-seconds='{}'>{}</span>"
    blank.set_content(part(clock.format("up-1", 5, "5 s")))
    blank.evaluate("document.getElementById('up-1').textContent = '7 s'")  # as it counts
    answer(blank, part(clock.format("up-1", 6, "6 s")))
    assert blank.locator("#part").inner_text() == "7 s"
    answer(blank, part(clock.format("up-2", 0, "0 s")))
    assert blank.locator("#part").inner_text() == "0 s"
    answer(blank, part("<span>3.2 s</span>"))  # the step has ended
    assert blank.locator("#part").inner_text() == "3.2 s"
    assert blank.locator("#part span").count() == 1


def test_what_else_is_told_changes_too(blank: Page) -> None:
    blank.set_content("<b id='state'>Updating</b>" + part("x"))
    answer(blank, part("y") + '<b id="state" hx-swap-oob="true">Live</b>')
    assert blank.locator("#state").inner_text() == "Live"
    assert blank.locator("#state").get_attribute("hx-swap-oob") is None


def test_what_is_no_such_part_is_left_to_htmx(blank: Page) -> None:
    blank.set_content(part("x"))
    assert answer(blank, '<p class="note bad">Gone.</p>')["swap"] is True
    assert blank.locator("#part").inner_text() == "x"


def test_nothing_is_asked_while_nobody_looks(blank: Page) -> None:
    blank.set_content(part("x"))
    answer(blank, part("x"))
    asks = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      const event = new CustomEvent("htmx:beforeRequest", { bubbles: true, cancelable: true });
      return document.getElementById("part").dispatchEvent(event);
    }"""
    assert blank.evaluate(asks, False) is True
    assert blank.evaluate(asks, True) is False
