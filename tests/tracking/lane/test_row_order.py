"""Two writers may wait for each other, never in a circle: all statements write their rows in one and the same order."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from studio.accounts.models import User
from tests.support.databases import url_of
from tests.support.lane import make_model
from tests.support.row_order import called_out, circle_in, compositions, orders
from tracking.models import Experiment, Run


def test_no_two_statements_write_two_rows_in_different_orders(
    alice: User, make_experiment: Callable[..., Experiment], make_run: Callable[..., Run]
) -> None:
    run = make_run(make_experiment(), tags={"a": "old"})
    make_model("m-1", run)
    with called_out(url_of(str(connection.settings_dict["NAME"]))) as caller:
        found = orders(caller, {"asker": alice.pk, "run": run.pk}, "m-1")
    assert len(found) == 2 * len(compositions())
    assert all(found), "each writes something"
    assert max(map(len, found)) > 30
    assert circle_in(found) is None


def test_a_circle_would_be_seen() -> None:
    assert circle_in([["a", "b"], ["b", "c"], ["a", "c"]]) is None
    assert set(circle_in([["a", "b"], ["b", "c"], ["c", "a"]]) or ()) == {"a", "b", "c"}
