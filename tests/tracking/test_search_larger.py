"""What the larger language finds, beyond what MLflow has words for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from tests.support import rows
from tracking import summaries
from tracking.models import Experiment, Metric, Run, StaleRun
from tracking.parser import parse_order
from tracking.search import Search

NAN, START = float("nan"), 1_700_000_000_000
# name: the values of loss by step, params, tags, how long it took in ms
RUNS: dict[str, tuple[list[float], dict[str, str], dict[str, str], int | None]] = {
    "falls": ([9.0, 5.0, 1.0], {"depth": "8", "model": "resnet18"}, {"team": "red"}, 1000),
    "rises": ([1.0, 5.0, 9.0], {"depth": "16", "model": "resnet50"}, {"team": "blue"}, 5000),
    "broken": ([2.0, NAN], {"depth": "8", "model": "vgg"}, {}, None),
    "nothing but nan": ([NAN], {"model": "x' OR 1=1"}, {"team": "Red"}, 0),
    "bare": ([], {}, {"team": ""}, 1000),
}
EVERYBODY = set(RUNS)
FOUND: dict[str, set[str]] = {
    "params.depth = '8' OR params.depth = '16'": {"falls", "rises", "broken"},
    "params.depth = '8' AND tags.team = 'red' OR params.depth = '16'": {"falls", "rises"},
    "params.depth = '8' AND (tags.team = 'red' OR params.depth = '16')": {"falls"},
    "NOT params.depth = '8'": {"rises", "nothing but nan", "bare"},
    "params.depth != '8'": {"rises"},
    "NOT params.depth != '8'": EVERYBODY - {"rises"},
    "NOT (params.depth = '8' OR tags.team IS NULL)": {"rises", "nothing but nan", "bare"},
    "NOT NOT params.depth = '8'": {"falls", "broken"},
    "NOT duration > 2000": EVERYBODY - {"rises"},
    "params.depth IN ('8', '16')": {"falls", "rises", "broken"},
    "params.depth IN ('8')": {"falls", "broken"},
    "params.depth NOT IN ('8')": {"rises"},
    "tags.team IN ('red', '')": {"falls", "bare"},
    "run_name IN ('bare', 'falls')": {"bare", "falls"},
    "status IN ('FINISHED')": EVERYBODY - {"broken"},
    "params.model ~ '^resnet(18|50)$'": {"falls", "rises"},
    "params.model ~ 'es'": {"falls", "rises"},
    "params.model !~ 'resnet'": {"broken", "nothing but nan"},
    "tags.team ~ '(?i)^red$'": {"falls", "nothing but nan"},
    'params.model = "x\' OR 1=1"': {"nothing but nan"},
    "run_name ~ '^b'": {"broken", "bare"},
    "duration = 1000": {"falls", "bare"},
    "duration >= 0": EVERYBODY - {"broken"},
    "duration < 1000.5": {"falls", "bare", "nothing but nan"},
    "min(metrics.loss) = 1": {"falls", "rises"},
    "min(metrics.loss) <= 2": {"falls", "rises", "broken"},
    "max(metrics.loss) > 8": {"falls", "rises"},
    "max(metrics.loss) != 9": {"broken"},
    "first(metrics.loss) = 9": {"falls"},
    "first(metrics.loss) != 9": {"rises", "broken", "nothing but nan"},
    "last(metrics.loss) = 9": {"rises"},
    "last(metrics.loss) != 9": {"falls", "broken", "nothing but nan"},
    "metrics.loss = 9 OR first(metrics.loss) = 9": {"falls", "rises"},
    "count(metrics.loss) = 0": {"bare"},
    "count(metrics.loss) = 1": {"nothing but nan"},
    "count(metrics.loss) >= 2": {"falls", "rises", "broken"},
    "NOT min(metrics.loss) > 0": {"nothing but nan", "bare"},
}


# Of which runs the metrics are summed up: the answer is the same.
SUMMED: dict[str, set[str]] = {
    "stale": set(),
    "summed up": EVERYBODY,
    "half and half": {"falls", "nothing but nan"},
}


@pytest.fixture(params=SUMMED)
def experiment(request: pytest.FixtureRequest, db: None) -> Experiment:
    made = rows.make_experiment()
    for name, (losses, params, tags, took) in RUNS.items():
        run = rows.make_run(
            made, name, metrics={"loss": losses[-1]} if losses else {}, params=params, tags=tags,
            start_time=START, end_time=None if took is None else START + took,
            status="RUNNING" if took is None else "FINISHED",
        )  # fmt: skip
        Metric.objects.filter(run=run).delete()
        log(run, losses)
    rows.make_run(rows.make_experiment(), "elsewhere", params={"depth": "8"})
    summed = SUMMED[request.param]
    StaleRun.objects.filter(run__name__in=summed).update(since=F("since") - timedelta(hours=1))
    summaries.sum_up()
    with_points = EVERYBODY - {"bare"}
    stale = set(StaleRun.objects.values_list("run__name", flat=True))
    assert stale == with_points - summed
    return made


def log(run: Run, losses: list[float]) -> None:
    """The later steps first: their order is not that in which they came."""
    for step, value in reversed(list(enumerate(losses))):
        is_nan = value != value  # noqa: PLR0124 - NaN alone is unequal to itself
        stored = 0.0 if is_nan else value
        Metric.objects.create(
            run=run, key="loss", value=stored, timestamp=START - step, step=step, is_nan=is_nan
        )


def names(experiment: Experiment, given: str, order_by: list[str]) -> list[str]:
    def fetch(statement: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(*statement)
            return list(cursor.fetchall())

    orders = [parse_order(clause) for clause in order_by]
    wanted = Search.read([experiment.pk], ["active"], given, orders)
    return [name for (name,) in wanted.page("runs.name", fetch, 100, 0)]


@pytest.mark.parametrize("given", FOUND)
def test_a_filter_finds_what_it_says(experiment: Experiment, given: str) -> None:
    assert set(names(experiment, given, [])) == FOUND[given]


@pytest.mark.parametrize("given", [given for given in FOUND if not given.startswith("NOT")])
def test_not_finds_all_others(experiment: Experiment, given: str) -> None:
    assert set(names(experiment, f"NOT ({given})", [])) == EVERYBODY - FOUND[given]


def test_what_is_found_is_in_the_order_that_is_asked_for(experiment: Experiment) -> None:
    found = names(experiment, "metrics.loss > 0 OR count(metrics.loss) = 0", ["metrics.loss DESC"])
    assert found == ["rises", "falls", "bare"]
