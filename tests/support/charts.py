"""Charts in a browser: runs to draw, and what is drawn of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx
from playwright.sync_api import Locator, Page, expect

MLFLOW = "/api/2.0/mlflow"
BATCH = 1000  # the most that MLflow takes at once
# Of every chart that is drawn: the traces to point at, by their runs' names, with their numbers of points.
DRAWN = """() => Object.fromEntries([...document.querySelectorAll('.js-plotly-plot')].map((graph) => [
  graph.parentElement.dataset.name,
  Object.fromEntries(graph.data.filter(({hoverinfo}) => hoverinfo !== 'skip').map(({name, x}) => [name, x.length])),
]))"""


class Writer(NamedTuple):
    api: httpx.Client

    def experiment(self, name: str) -> str:
        body = {"name": name}
        return str(self.post("experiments/create", body)["experiment_id"])

    def run(self, experiment: str, name: str, **series: Sequence[float | str]) -> str:
        """A run that has ended, with these values at steps 0, 1, … of each metric; "__" stands for a slash."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": 1_000_000}
        run: str = self.post("runs/create", body)["run"]["info"]["run_id"]
        points = [
            {"key": key.replace("__", "/"), "value": value, "timestamp": 1_000_000 + step * 1000, "step": step}
            for key, values in series.items()
            for step, value in enumerate(values)
        ]  # fmt: skip
        for start in range(0, len(points), BATCH):
            part = points[start : start + BATCH]
            self.post("runs/log-batch", {"run_id": run, "metrics": part})
        self.post("runs/update", {"run_id": run, "status": "FINISHED"})
        return run

    def post(self, route: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(f"{MLFLOW}/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


def plot(page: Page, key: str) -> Locator:
    found = page.locator(f".plot[data-name={json.dumps(key)}]")
    expect(found).to_have_attribute("data-drawn", "")
    return found


def open_charts(page: Page, address: str, *keys: str) -> None:
    page.goto(address)
    for key in keys:
        plot(page, key)


def dot(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"{name} in charts", exact=True)
