"""Who writes past the lane may write in another order. A deadlock with him is the lane's to sort out, not its client's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import orjson
import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import sql

from studio.accounts.models import User
from studio.lane.answers import Answer
from studio.lib.database import embedded_url
from tests.support.lane import Wire, ask, named_in, pairs
from tests.support.processes import until
from tests.support.rows import make_experiment, make_run
from tracking.models import Run


def superuser() -> Wire:
    """Who may say how soon PostgreSQL looks for a deadlock: it ends him whose patience is at an end."""
    password = settings.HOME.secret("postgres-superuser-password")
    name = str(connection.settings_dict["NAME"])
    url = embedded_url(settings.HOME.postgres_socket, "postgres", password, name)
    return psycopg.connect(url)


@pytest.fixture(autouse=True)
def lane_looks_first(lane: None) -> Iterator[None]:
    name = sql.Identifier(str(connection.settings_dict["NAME"]))
    with closing(superuser()) as wire:
        wire.autocommit = True
        wire.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '20ms'").format(name))
        yield
        wire.execute(sql.SQL("ALTER DATABASE {} RESET deadlock_timeout").format(name))


@pytest.fixture
def run(transactional_db: None) -> Run:
    return make_run(make_experiment(), tags={"a": "0", "m": "0", "z": "0"})


class Opponent:
    """Holds the tag `z` and then asks for `a`, while the lane goes from `a` by `m` to `z`."""

    def __init__(self, run: Run, threads: ThreadPoolExecutor) -> None:
        self._run = run
        self._threads = threads
        self._holder, self._gate, self._eye = superuser(), superuser(), superuser()
        self._eye.autocommit = True
        self._holder.execute("SET deadlock_timeout = '1h'")
        self._take(self._holder, "z")
        self._holder.execute("SAVEPOINT holding")
        self._take(self._gate, "m")

    def meet(self) -> None:
        """Be in a deadlock with the lane, which loses it."""
        until(lambda: self._holds_up(self._gate), "the lane waits for `m`")
        asking = self._threads.submit(self._take, self._holder, "a")
        until(lambda: self._is_held_up(self._holder), "the other waits for `a`")
        self._gate.rollback()
        asking.result(20)  # the lane has let go of it

    def waits_again(self, telling: Future[Answer]) -> bool:
        """Whether the lane tries once more. It is then in the same place again."""
        until(lambda: self._holds_up(self._holder) or telling.done(), "the lane tries again")
        if telling.done():
            return False
        self._take(self._gate, "m")
        self._holder.execute("ROLLBACK TO holding")
        return True

    def close(self) -> None:
        for wire in (self._holder, self._gate, self._eye):
            wire.close()

    def _take(self, wire: Wire, key: str) -> None:
        wire.execute(
            "SELECT FROM tags WHERE run_uuid = %s AND key = %s FOR UPDATE", [self._run.pk, key]
        )

    def _holds_up(self, wire: Wire) -> bool:
        asked = "SELECT FROM pg_stat_activity WHERE application_name = 'studio-lane' AND %s = ANY (pg_blocking_pids(pid))"
        return self._eye.execute(asked, [wire.info.backend_pid]).rowcount > 0

    def _is_held_up(self, wire: Wire) -> bool:
        asked = "SELECT cardinality(pg_blocking_pids(%s))"
        return bool(self._eye.execute(asked, [wire.info.backend_pid]).fetchall()[0][0])


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def opponent(run: Run, threads: ThreadPoolExecutor) -> Iterator[Opponent]:
    with closing(Opponent(run, threads)) as found:
        yield found


@pytest.fixture
def telling(
    alice: User, run: Run, opponent: Opponent, threads: ThreadPoolExecutor
) -> Future[Answer]:
    """A batch of the lane's on its way into the deadlock."""
    tags = pairs({"z": "1", "a": "1", "m": "1", "new": "1"})
    metric = {"key": "loss", "value": 1.0, "timestamp": 1, "step": 1}
    return threads.submit(ask, alice.pk, "log-batch", run_id=run.pk, tags=tags, metrics=[metric])


def test_a_deadlock_s_loser_tries_again_and_the_client_sees_nothing_of_it(
    run: Run, opponent: Opponent, telling: Future[Answer]
) -> None:
    with closing(superuser()) as wire:
        opponent.meet()
        assert opponent.waits_again(telling)
        opponent.meet()
        opponent.close()
        assert telling.result(20).status == 200
        kept = named_in(wire, run.pk, "tags")
    assert {kept[key] for key in ("a", "m", "z", "new")} == {"1"}


def test_a_deadlock_without_an_end_is_told_so_that_mlflow_s_client_repeats_it(
    run: Run, opponent: Opponent, telling: Future[Answer]
) -> None:
    lost = 0
    with closing(superuser()) as wire:
        while lost == 0 or opponent.waits_again(telling):
            opponent.meet()
            lost += 1
        kept = named_in(wire, run.pk, "tags")
    assert lost == 6
    told = telling.result(20)
    assert (told.status, told.content_type) == (503, "application/json")
    said = orjson.loads(told.body)
    assert said["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "deadlock" in said["message"]
    assert "SELECT" not in said["message"]
    assert {kept[key] for key in ("a", "m", "z")} == {"0"}
    assert "new" not in kept
