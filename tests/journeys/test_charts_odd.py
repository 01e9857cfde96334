"""Charts of what is out of the ordinary: hostile names, values that are none, very many metrics, runs that go on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Dialog, Page, Request, expect

from tests.support.charts import DRAWN, Writer, dot, open_charts, plot
from tests.support.live import Studio
from tests.support.training import client_of

HOSTILE = [
    '<script>alert("x")</script>',
    "a/<img src=x onerror=alert(1)>/b",
    "größe 🚀/' onclick='",
    "$1 %{x} <b>&lt;",
]


@pytest.fixture(scope="module")
def writer(live: Studio, token: str) -> Iterator[Writer]:
    with live.client(token) as api:
        yield Writer(api)


def test_points_that_are_logged_appear_by_themselves(page: Page, live: Studio, token: str) -> None:
    with client_of(live.url, token) as client:
        experiment = client.create_experiment("charts: live")
        run = client.create_run(experiment, run_name="growing").info.run_id
        other = client.create_run(experiment, run_name="other").info.run_id
        for step in range(3):
            client.log_metric(run, "loss", 1.0 / (step + 1), step=step)
            client.log_metric(other, "loss", 2.0, step=step)
        open_charts(page, f"{live.url}/experiments/{experiment}/", "loss")
        dot(page, "other").click()
        page.evaluate("document.querySelector('.js-plotly-plot').dataset.seen = ''")
        client.log_metric(run, "loss", 0.1, step=3)
        page.wait_for_function(f"() => ({DRAWN})().loss.growing === 4")
        client.set_terminated(run)
    assert page.evaluate(DRAWN) == {"loss": {"growing": 4}}  # what was hidden stays so
    assert page.locator(".js-plotly-plot[data-seen]").count() == 1


def test_what_is_not_finite_is_a_gap_and_counted(page: Page, live: Studio, writer: Writer) -> None:
    experiment = writer.experiment("charts: not finite")
    values: list[float | str] = [1.0, "NaN", "Infinity", "-Infinity", 2.0, 3.0]
    run = writer.run(experiment, "odd", loss=values, never=["NaN", "NaN"])
    for path in (f"/experiments/{experiment}/", f"/runs/{run}/"):
        open_charts(page, live.url + path, "loss", "never")
        y = plot(page, "loss").locator("> div").evaluate("({data: [{y}]}) => [...y].map(String)")
        assert y == ["1", "NaN", "NaN", "NaN", "2", "3"]
        expect(page.locator(".chart", has=plot(page, "loss"))).to_contain_text("3 not finite")
        expect(page.locator(".chart", has=plot(page, "never"))).to_contain_text("2 not finite")


def test_hostile_names_are_nothing_but_text(page: Page, live: Studio, writer: Writer) -> None:
    experiment = writer.experiment("charts: hostile")
    name = HOSTILE[0]
    run = writer.run(experiment, name, usual=[1.0, 2.0])
    # No client of MLflow's would log such keys; a database that was moved in may hold them.
    with psycopg.connect(json.loads(live.manage("status", "--json"))["database_url"]) as wire:
        for key in HOSTILE:
            for step in range(3):
                wire.execute(
                    "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (%s, %s, 1, %s, %s, false)",
                    [key, step, run, step],
                )
            wire.execute(
                "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (%s, 2, 1, %s, 2, false)",
                [key, run],
            )
    asked: list[Dialog] = []
    page.on("dialog", lambda dialog: asked.append(dialog))
    for path in (f"/experiments/{experiment}/?view=charts", f"/runs/{run}/"):
        page.goto(live.url + path)
        page.locator("html[data-mounted]").wait_for()
        for summary in page.locator(".section:not([open]) > summary").all():
            summary.click()
        for key in HOSTILE:
            chart = (
                page.locator(".chart")
                .filter(has=page.get_by_text(key, exact=True))
                .locator(".plot")
            )
            chart.scroll_into_view_if_needed()
            expect(chart).to_have_attribute("data-drawn", "")
            assert chart.get_attribute("data-name") == key
        assert {key: drawn for key, drawn in page.evaluate(DRAWN).items() if key != "usual"} == {
            key: {'&lt;script&gt;alert("x")&lt;/script&gt;': 3} for key in HOSTILE
        }
    area = plot(page, HOSTILE[0]).locator(".nsewdrag")
    area.hover()
    expect(plot(page, HOSTILE[0]).locator(".hovertext .nums")).to_contain_text(name)
    assert page.locator(".hovertext a, img").count() == 0
    assert asked == []


def test_of_five_hundred_metrics_only_what_is_in_view_is_fetched(
    page: Page, live: Studio, writer: Writer
) -> None:
    experiment = writer.experiment("charts: many")
    names = [f"layer{number // 50}__w{number}" for number in range(500)]
    writer.run(experiment, "wide", **{name: [1.0, 2.0] for name in names})
    asked: list[Request] = []
    page.on("request", lambda sent: asked.append(sent) if sent.url.endswith("/series/") else None)
    open_charts(page, f"{live.url}/experiments/{experiment}/", "layer0/w0")
    assert page.locator(".section").count() == 10
    assert page.locator(".section[open]").count() == 3
    (one,) = asked
    assert 4 <= len(json.loads(one.post_data or "")["keys"]) <= 20
    page.get_by_label("Find a chart").fill("W499")
    plot(page, "layer9/w499")
    expect(page.locator(".chart:visible")).to_have_count(1)
    assert json.loads(asked[-1].post_data or "")["keys"] == ["layer9/w499"]
    page.get_by_label("Find a chart").fill("no such chart")
    expect(page.get_by_text("No chart has such a name.")).to_be_visible()


def test_runs_without_metrics_teach_how_to_log_one(
    page: Page, live: Studio, writer: Writer
) -> None:
    experiment = writer.experiment("charts: none")
    writer.run(experiment, "bare")
    page.goto(f"{live.url}/experiments/{experiment}/")
    expect(page.locator(".card.empty")).to_contain_text("mlflow.log_metric")
    assert page.locator("[data-run]").count() == 0
