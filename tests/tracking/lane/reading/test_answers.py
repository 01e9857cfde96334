"""What the lane answers by itself, what it leaves to MLflow's server, and what it refuses in words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from io import BytesIO
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.test import Client

from studio import express
from studio.accounts.models import AccessToken, User
from studio.lane import guarded, wires
from studio.lane.answers import Asker
from studio.lane.asking import Elsewhere, Stranger
from studio.lib.errors import Invalid
from studio.lib.sql import TOO_LONG, Sql
from studio.mlflow.guards import TABLE
from tests.support.grants import grant_mlflow
from tests.tracking.lane.reading.test_reading_profile import ask
from tests.tracking.search_cases import SLOW, SLOW_TEXT
from tracking.lane import LANE
from tracking.lane.routes import SEEKERS
from tracking.models import Experiment, Metric, Run

MakeExperiment = Callable[..., Experiment]
MakeRun = Callable[..., Run]
Wire = psycopg.Connection[Any]


@pytest.fixture
def run(make_experiment: MakeExperiment, make_run: MakeRun) -> Run:
    return make_run(make_experiment(), metrics={"loss": 0.5}, params={"p": "'\"\\\n\u20ac"})


@pytest.fixture
def reader(bob: User, run: Run) -> User:
    grant_mlflow(bob, "experiment", str(run.experiment_id), "READ")
    return bob


def log(
    run: Run, key: str, value: float, time: int = 1, step: int = 0, *, is_nan: bool = False
) -> None:
    Metric.objects.create(run=run, key=key, value=value, timestamp=time, step=step, is_nan=is_nan)


def told(answer: Any) -> Any:
    assert answer.status == 200
    return json.loads(answer.body)


def test_every_route_that_is_announced_is_looked_up_and_guarded() -> None:
    assert set(SEEKERS) == set(LANE.reading)
    for route, methods in LANE.reading.items():
        for method in methods:
            assert TABLE.on(method, f"/ajax-api/2.0/{route}")[-1].before is guarded.looked_up


def test_a_run_is_told_whole(reader: User, run: Run) -> None:
    found = told(ask(reader, "runs/get", run_id=run.pk))["run"]
    assert found["info"]["run_id"] == run.pk
    assert found["data"]["params"] == [{"key": "p", "value": "'\"\\\n\u20ac"}]
    assert found["data"]["metrics"][0]["value"] == 0.5


@pytest.mark.parametrize("route", ["runs/get", "metrics/get-history"])
def test_what_is_not_there_and_what_may_not_be_seen_is_mlflows_to_say(
    reader: User, alice: User, run: Run, route: str
) -> None:
    stranger = User.objects.create_user("carol")
    given = {"metric_key": "loss"} if "metrics" in route else {}
    told(ask(reader, route, run_id=run.pk, **given))
    for user, run_id in ((stranger, run.pk), (reader, "f" * 32), (alice, "f" * 32)):
        with pytest.raises(Elsewhere):
            ask(user, route, run_id=run_id, **given)


def test_nobody_is_told_anything(run: Run) -> None:
    from tracking.lane.reading.runs import One

    with pytest.raises(Stranger):
        One(run.pk).answer(Asker("no such digest"))


def test_runs_that_may_not_be_seen_are_not_found(
    reader: User, alice: User, run: Run, make_run: MakeRun, make_experiment: MakeExperiment
) -> None:
    other = make_run(make_experiment())
    ids = [str(run.experiment_id), str(other.experiment_id), "2000000000"]
    found = told(ask(reader, "runs/search", "POST", experiment_ids=ids))
    assert [each["info"]["run_id"] for each in found["runs"]] == [run.pk]
    assert len(told(ask(alice, "runs/search", "POST", experiment_ids=ids))["runs"]) == 2
    grant_mlflow(reader, "run", "*", "DENY")
    assert told(ask(reader, "runs/search", "POST", experiment_ids=ids)) == {}


def test_ten_thousand_experiments_are_searched_at_once(reader: User, run: Run) -> None:
    assert run.experiment_id is not None
    ids = [str(run.experiment_id + number) for number in range(10_000)]
    (found,) = told(ask(reader, "runs/search", "POST", experiment_ids=ids))["runs"]
    assert found["info"]["run_id"] == run.pk


def test_points_are_told_in_their_order_and_page_by_page(reader: User, run: Run) -> None:
    Metric.objects.filter(run=run).delete()
    points = [(3, 1, 1.0), (1, 2, 2.0), (1, 1, 5.0), (1, 1, 4.0)]
    for time, step, value in points:
        log(run, "k%\"'", value, time, step)
    log(run, "k%\"'", 0, 9, 9, is_nan=True)
    asked = {"run_id": run.pk, "metric_key": "k%\"'"}
    whole = told(ask(reader, "metrics/get-history", **asked))["metrics"]
    assert [each["value"] for each in whole] == [4.0, 5.0, 2.0, 1.0, "NaN"]
    pages, more = [], {"max_results": "2"}
    while more:
        page = told(ask(reader, "metrics/get-history", **asked, **more))
        pages += page["metrics"]
        token = page.get("next_page_token")
        more = {"max_results": "2", "page_token": token} if token else {}
    assert pages == whole


@pytest.mark.parametrize("most", [9_999, 10_000, 10_001, 20_000, 20_049, 20_050, 30_000])
def test_a_long_history_is_told_whole_and_in_order(
    reader: User, run: Run, wire: Wire, most: int
) -> None:
    """It comes from PostgreSQL in pieces."""
    wire.execute(
        "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
        " SELECT 'k', n, 1, n, false, %s FROM generate_series(20049, 0, -1) n",
        [run.pk],
    )
    asked = {"run_id": run.pk, "metric_key": "k"}
    whole = told(ask(reader, "metrics/get-history", **asked))
    assert [each["step"] for each in whole["metrics"]] == list(range(20_050))
    page = told(ask(reader, "metrics/get-history", **asked, max_results=str(most)))
    assert page["metrics"] == whole["metrics"][:most]
    assert ("next_page_token" in page) == (most < 20_050)


@pytest.mark.parametrize("total", [1, 2, 3, 6, 7, 8, 13, 14, 15, 100])
@pytest.mark.parametrize("most", [1, 2, 7])
def test_points_are_chosen_evenly_and_the_last_is_among_them(
    reader: User, run: Run, total: int, most: int
) -> None:
    """By NTILE, as MLflow does it: written out here."""
    for step in range(total):
        log(run, "k", step, step=step)
    asked: dict[str, Any] = {"run_ids": [run.pk], "metric_key": "k", "max_results": most}
    found = told(ask(reader, "metrics/get-history-bulk-interval", **asked))["metrics"]
    size, larger = divmod(total, most)
    firsts = [bucket * size + min(bucket, larger) for bucket in range(most)]
    expected = list(range(total)) if total <= most else [*firsts[:-1], total - 1]
    assert [each["step"] for each in found] == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"filter": "metrics.a < 1 OR params.b = 8"}, "character 29: expected a quoted text, found `8`.\n"),
        ({"filter": "("}, "\n(\n ^"),
        ({"filter": "tags.a ~ '('"}, "invalid regular expression"),
        ({"filter": "run_id LIKE ('x')"}, "LIKE compares with one text"),
        ({"order_by": ["dataset.name"]}, "Invalid identifier type 'dataset'"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_read_is_refused_at_its_place(
    reader: User, run: Run, given: dict[str, Any], told: str
) -> None:
    answer = ask(reader, "runs/search", "POST", experiment_ids=[str(run.experiment_id)], **given)
    assert answer.status == 400
    assert told in json.loads(answer.body)["message"]


def test_a_mistake_is_told_to_nobody_who_may_not_ask() -> None:
    from tracking.lane.reading.runs import Refused

    with pytest.raises(Stranger):
        Refused(Invalid("told")).answer(Asker("no such digest"))


def test_an_expression_that_is_built_to_be_slow_is_given_up_and_told(
    reader: User, run: Run, make_run: MakeRun
) -> None:
    make_run(run.experiment, params={"slow": SLOW_TEXT})
    fetch = wires.Reader.fetch

    def impatient(self: wires.Reader, statement: Sql) -> list[wires.Row]:
        self.wire.execute("SET statement_timeout = '200ms'")
        return fetch(self, statement)

    asked = {"experiment_ids": [str(run.experiment_id)], "filter": f"params.slow ~ '{SLOW}'"}
    with patch.object(wires.Reader, "fetch", impatient):
        answer = ask(reader, "runs/search", "POST", **asked)
    assert answer.status == 400
    assert json.loads(answer.body)["message"] == TOO_LONG


def test_the_lanes_readers_cannot_write_and_are_not_patient_for_ever() -> None:
    with wires.reader() as reader:
        asked = (
            b"SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')"
        )
        assert reader.rows(asked, ()) == [("on", "30s")]


def environ(path: str, query: str, token: str, **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Bearer {token}", "REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": "8000",
        "wsgi.input": BytesIO(), **more,
    }  # fmt: skip


@pytest.mark.parametrize("api", ["/api", "/ajax-api", "/mlflow/ajax-api"])
def test_a_token_is_answered_by_the_short_way(reader: User, run: Run, api: str) -> None:
    token = AccessToken.issue(user=reader, label="test")[1]
    heard: list[str] = []
    sent = environ(f"{api}/2.0/mlflow/runs/get", f"run_id={run.pk}", token)
    answer = express.answered(sent, lambda status, headers: heard.append(status))
    assert heard == ["200 OK"]
    assert answer is not None
    assert json.loads(b"".join(answer))["run"]["info"]["run_id"] == run.pk


def test_every_reading_route_has_the_short_way() -> None:
    asked = {(method, route) for route, methods in LANE.reading.items() for method in methods}
    short = {(method, path.partition("2.0/")[2]) for method, path in express._routes()}
    assert asked <= short


def test_what_is_answered_elsewhere_takes_the_long_way_with_its_body(
    reader: User, run: Run
) -> None:
    token = AccessToken.issue(user=reader, label="test")[1]
    raw = b'{"experiment_ids": ["1"], "max_results": 0}'
    more = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": BytesIO(raw),
    }
    sent = environ("/api/2.0/mlflow/runs/search", "", token, CONTENT_LENGTH=str(len(raw)), **more)
    assert express.answered(sent, lambda status, headers: None) is None
    assert sent["wsgi.input"].read() == raw


def test_a_session_is_answered_too(run: Run, as_alice: Client) -> None:
    answer = as_alice.get("/ajax-api/2.0/mlflow/runs/get", {"run_id": run.pk})
    assert answer.json()["run"]["info"]["run_id"] == run.pk
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_infinities_of_a_foreign_writer_are_told_as_protobuf_spells_them(
    reader: User, run: Run
) -> None:
    for step, value in enumerate([math.inf, -math.inf, math.nan]):
        log(run, "k", value, step=step)
    found = told(ask(reader, "metrics/get-history", run_id=run.pk, metric_key="k"))["metrics"]
    assert [each["value"] for each in found] == ["Infinity", "-Infinity", "NaN"]
