"""Charts of many runs beside the run table, and of one on its page, in a real browser."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import browser as browsers
from tests.support.charts import DRAWN, Writer, dot, open_charts, plot
from tests.support.live import PASSWORD, Studio
from tests.support.processes import until

STEPS = 2000  # of the longest series: more than a chart draws one by one
# Of a chart: how its axes and red's line are drawn.
LOOK = """({data, layout: {yaxis, xaxis}}) =>
  [yaxis.type, xaxis.ticksuffix, data.length, data.find(({name}) => name === 'red').y[1]]"""
RANGES = """() => [...document.querySelectorAll('.js-plotly-plot')].map((graph) => graph.layout.xaxis.range.map(Math.round))"""
SWEEP = ("lr", "train/loss", "val/loss")


@pytest.fixture(scope="module")
def writer(live: Studio, token: str) -> Iterator[Writer]:
    with live.client(token) as api:
        yield Writer(api)


@pytest.fixture(scope="module")
def sweep(live: Studio, writer: Writer) -> str:
    """The address of an experiment of three runs, with a long metric, a short one and one that a single run has."""
    experiment = writer.experiment("charts: a sweep")
    waves = [float(step % 7) for step in range(STEPS)]
    for number, name in enumerate(("red", "green")):
        writer.run(
            experiment, name, val__loss=list(map(float, range(10, 20 + number))), train__loss=waves
        )
    writer.run(experiment, "blue", val__loss=[9.0, 1.0], lr=[0.1])
    return f"{live.url}/experiments/{experiment}/"


def drag(page: Page, inside: Locator) -> None:
    """Over the middle half of a plot's area."""
    area = inside.locator(".nsewdrag").bounding_box()
    assert area is not None
    middle = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + area["width"] / 4, middle)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 3 / 4, middle, steps=4)
    page.mouse.up()


def test_every_metric_of_the_table_s_runs_is_drawn_in_its_section(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    drawn = page.evaluate(DRAWN)
    assert drawn["lr"] == {"blue": 1}
    assert drawn["val/loss"] == {"blue": 2, "green": 11, "red": 10}
    assert drawn["train/loss"].keys() == {"red", "green"}
    assert all(100 <= points < STEPS / 2 for points in drawn["train/loss"].values())
    for key in SWEEP:
        assert browsers.colours_in(plot(page, key).locator(".cartesianlayer")) > 5
    assert page.locator(".section summary b").all_inner_texts() == [
        "Without a prefix", "train", "val"
    ]  # fmt: skip


def test_a_run_is_hidden_and_shown_in_all_charts_by_keyboard(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    red = dot(page, "red")
    red.focus()
    page.keyboard.press("Space")
    expect(red).to_have_attribute("aria-pressed", "false")
    page.wait_for_function(f"() => !JSON.stringify(({DRAWN})()).includes('red')")
    assert page.evaluate(DRAWN)["val/loss"] == {"blue": 2, "green": 11}
    page.keyboard.press("Enter")
    expect(red).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(f"() => 'red' in ({DRAWN})()['train/loss']")


def test_a_row_and_its_lines_point_at_each_other(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    dot(page, "green").hover()
    lit = page.locator(".plot [data-lit] .trace.lit .lines path.js-line")
    expect(lit).to_have_count(3)  # a line and its band, and a line
    faint = page.locator(".plot[data-name='val/loss'] .trace:not(.lit)").first
    expect(faint).to_have_css("opacity", "0.1")
    area = plot(page, "lr").locator(".points path").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    expect(page.locator("tr.lit")).to_contain_text("blue")
    expect(plot(page, "val/loss").locator(".trace.lit")).to_have_count(1)


def test_a_range_is_fetched_anew_with_all_its_points_and_shown_in_all_charts(
    page: Page, sweep: str
) -> None:
    open_charts(page, f"{sweep}?view=charts", *SWEEP)
    page.set_viewport_size({"width": 700, "height": 1400})
    whole = page.evaluate(RANGES)[1]
    for _ in range(2):
        with page.expect_response("**/series/"):
            drag(page, plot(page, "train/loss"))
        page.wait_for_function(f"before => ({RANGES})()[1].join() !== before.join()", arg=whole)
        whole = page.evaluate(RANGES)[1]
    low, high = page.evaluate(
        "document.querySelector('[data-name=\"train/loss\"] > div').layout.xaxis.range"
    )
    page.wait_for_function(
        f"points => ({DRAWN})()['train/loss'].red === points", arg=int(high) - int(low)
    )
    first = page.evaluate(
        "[...document.querySelector('[data-name=\"train/loss\"] > div').data[0].y.slice(0, 7)]"
    )
    assert first == [float((int(low) + 1 + offset) % 7) for offset in range(7)]
    assert len({str(each) for each in page.evaluate(RANGES)}) == 1
    plot(page, "train/loss").locator(".nsewdrag").dblclick()
    page.wait_for_function(f"() => ({RANGES})()[1][1] >= {STEPS - 1}")
    page.get_by_label("Zoom all").uncheck()
    with page.expect_response("**/series/") as told:
        drag(page, plot(page, "train/loss"))
    assert json.loads(told.value.request.post_data or "")["keys"] == ["train/loss"]


def test_how_charts_are_looked_at_is_kept_in_the_address(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    page.get_by_text("Relative", exact=True).click()
    page.get_by_label("Smooth").fill("0.5")
    page.get_by_label("Log y").check()
    page.get_by_text("Charts", exact=True).click()
    expect(page.locator(".runs")).to_be_hidden()

    def kept() -> bool:
        """By the drawing itself: seconds as x, a logarithm as y, and a smoothed line before the values."""
        told = plot(page, "val/loss").locator("> div").evaluate(LOOK)
        return bool(told == ["log", " s", 6, pytest.approx((10 * 0.25 + 11 * 0.5) / 0.75)])

    until(kept, "the drawing")
    page.reload()
    until(kept, "the drawing after a reload")
    expect(page.locator(".runs")).to_be_hidden()
    page.get_by_text("Both", exact=True).click()
    page.get_by_role("link", name="Name", exact=True).click()
    page.wait_for_url("**order_by=**")
    until(kept, "the drawing beside another table")
    page.get_by_role("link", name="red", exact=True).click()
    page.get_by_role("heading", level=1, name="red").wait_for()
    page.go_back()
    until(kept, "the drawing after a way back")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**filter=&**")
    until(kept, "the drawing of a filtered table")


def test_a_metric_can_be_the_axis(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    page.get_by_label("By metric").select_option("val/loss")
    page.wait_for_function(f"() => ({DRAWN})()['train/loss'].red === 10")
    ends = (
        plot(page, "train/loss")
        .locator("> div")
        .evaluate("({data}) => data.map(({x}) => [x[0], x.at(-1)]).sort()")
    )
    assert ends == [[10, 19], [10, 20]]


def test_a_chart_s_menu_works_by_keyboard(page: Page, sweep: str, tmp_path: Path) -> None:
    open_charts(page, sweep, *SWEEP)
    button = page.get_by_role("button", name="What to do with the chart of val/loss")
    saved = {}
    for presses, ending in ((1, "png"), (2, "svg"), (3, "csv")):
        button.focus()
        page.keyboard.press("Enter")
        for _ in range(presses):
            page.keyboard.press("Tab")
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        assert download.value.suggested_filename == f"val_loss.{ending}"
        saved[ending] = tmp_path / ending
        download.value.save_as(saved[ending])
        expect(button).to_be_focused()
    assert saved["png"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in saved["svg"].read_text()
    rows = list(csv.DictReader(saved["csv"].read_text().splitlines()))
    assert len(rows) == 2 + 11 + 10
    (point,) = [row for row in rows if row["run"] == "blue" and row["step"] == "1"]
    assert (point["metric"], point["value"], point["lowest"]) == ("val/loss", "1", "")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Save as CSV")).to_be_hidden()
    expect(button).to_be_focused()


def test_a_chart_fills_the_window_and_goes_back(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    button = page.get_by_role("button", name="What to do with the chart of train/loss")
    before = plot(page, "train/loss").bounding_box()
    assert before is not None
    button.press("Enter")
    with page.expect_response("**/series/") as finer:
        page.keyboard.press("Enter")
    assert json.loads(finer.value.request.post_data or "")["buckets"] > 1000
    inside = page.get_by_role("dialog").locator(".plot")
    page.wait_for_function(
        "() => document.querySelector('dialog.large .main-svg').clientWidth > 1200"
    )
    expect(inside).to_have_attribute("data-name", "train/loss")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    drawn = page.locator(".chart:not(dialog) .plot[data-name='train/loss'] .main-svg").first
    expect(drawn).to_have_css("width", re.compile(rf"^{int(before['width'])}\b"))
    assert plot(page, "train/loss").bounding_box() == before


def test_a_run_has_one_colour_wherever_it_is_shown(page: Page, sweep: str) -> None:
    open_charts(page, sweep, *SWEEP)
    colour = "node => getComputedStyle(node).backgroundColor"
    line = "({data}) => data.find(({name}) => name === 'red').line.color"
    in_table = dot(page, "red").evaluate(colour)
    assert plot(page, "val/loss").locator("> div").evaluate(line) == in_table
    page.get_by_role("link", name="red", exact=True).click()
    assert plot(page, "val/loss").locator("> div").evaluate(line) == in_table
    page.emulate_media(color_scheme="dark")
    other = plot(page, "val/loss").locator("> div")
    page.wait_for_function(
        f"before => ({line})(document.querySelector('.js-plotly-plot')) !== before", arg=in_table
    )
    assert other.evaluate(line) != in_table


def test_on_a_telephone_charts_stand_below_the_table(
    live: Studio, chromium: Browser, sweep: str
) -> None:
    with browsers.tab(chromium, width=390) as tab:
        browsers.sign_in(tab.page, live.url, PASSWORD)
        tab.page.goto(sweep)
        plot(tab.page, "lr").scroll_into_view_if_needed()
        table, chart = (tab.page.locator(part).first.bounding_box() for part in (".runs", ".chart"))
        assert table is not None
        assert chart is not None
        assert chart["y"] >= table["y"] + table["height"]
        assert chart["x"] >= 0
        assert chart["x"] + chart["width"] <= 390
        assert not tab.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert tab.complaints == []
