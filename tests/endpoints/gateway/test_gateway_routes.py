"""Who may score, and who answers: the pure part."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from endpoints.gateway.routes import (
    Deployment,
    Replica,
    Route,
    Table,
    authorised,
    choose,
    table_from,
)
from studio.lib.secrets import digest

BLUE = Deployment("blue", 90, (Replica("/run/1"), Replica("/run/2")))
GREEN = Deployment("green", 10, (Replica("/run/3"),))
ALICE, BOB = 1, 2  # an administrator, and one who was granted USE on iris
IRIS = Route("iris", (digest("first"), digest("second")), (BLUE, GREEN), frozenset([BOB]))
CHURN = Route("churn", (digest("other"), digest("another")))
TABLE = Table(
    {"iris": IRIS, "churn": CHURN},
    {digest("studio_alice"): ALICE, digest("studio_bob"): BOB},
    frozenset([ALICE]),
)


def dice() -> Random:
    """The same throws each time."""
    return Random(1)  # noqa: S311


def nobody_waits(address: str) -> int:
    return 0


@pytest.mark.parametrize(
    ("endpoint", "secret", "may"),
    [
        ("iris", "first", True),
        ("iris", "second", True),
        ("iris", "studio_alice", True),
        ("churn", "studio_alice", True),
        ("unknown", "studio_alice", True),
        ("iris", "studio_bob", True),
        ("churn", "studio_bob", False),
        ("unknown", "studio_bob", False),
        ("iris", "studio_nobody", False),
        ("churn", "first", False),
        ("iris", "wrong", False),
        ("iris", "", False),
        ("iris", digest("first"), False),
        ("iris", "ключ", False),
        ("unknown", "first", False),
        ("unknown", "", False),
        ("unknown", "0" * 64, False),
    ],
)
def test_who_may_score_where(endpoint: str, secret: str, may: bool) -> None:
    assert authorised(TABLE, endpoint, secret) is may


def test_an_empty_table_lets_nobody_in() -> None:
    assert not authorised(Table(), "iris", "first")


def test_traffic_is_divided_as_told() -> None:
    random = dice()
    drawn = Counter(_chosen(IRIS, random)[0].name for _ in range(10_000))
    assert drawn["green"] == pytest.approx(1_000, abs=100)
    assert drawn["blue"] + drawn["green"] == 10_000


def test_a_deployment_without_traffic_is_never_chosen() -> None:
    route = Route("iris", (), (BLUE, Deployment("shadow", 0, (Replica("/run/9"),))))
    random = dice()
    assert {_chosen(route, random)[0].name for _ in range(1_000)} == {"blue"}


@pytest.mark.parametrize("deployments", [(), (Deployment("blue", 0, (Replica("/run/1"),)),)])
def test_without_traffic_nothing_is_chosen(deployments: tuple[Deployment, ...]) -> None:
    assert choose(Route("iris", (), deployments), dice(), nobody_waits) is None


def test_a_deployment_without_replicas_is_not_replaced_by_another() -> None:
    route = Route(
        "iris", (), (Deployment("blue", 100), Deployment("green", 0, (Replica("/run/3"),)))
    )
    assert _chosen(route, dice()) == (Deployment("blue", 100), [])


def test_the_least_busy_replica_comes_first_and_the_others_follow() -> None:
    replicas = tuple(map(Replica, ("/run/1", "/run/2", "/run/3")))
    route = Route("iris", (), (Deployment("blue", 100, replicas),))
    busy = {"/run/1": 5, "/run/2": 0, "/run/3": 2}
    chosen = choose(route, dice(), busy.__getitem__)
    assert chosen is not None
    assert [replica.address for replica in chosen[1]] == ["/run/2", "/run/3", "/run/1"]


def test_equally_busy_replicas_take_turns_by_chance() -> None:
    random = dice()
    route = Route("iris", (), (BLUE,))
    first = Counter(_chosen(route, random)[1][0].address for _ in range(1_000))
    assert first["/run/1"] == pytest.approx(500, abs=100)


def test_what_the_database_tells_becomes_a_table() -> None:
    told = (
        '{"tokens": {"t": 7}, "administrators": [7], '
        '"routes": [{"name": "iris", "keys": ["a", "b"], "users": [8, 9], '
        '"deployments": [{"name": "blue", "traffic": 100, "stopped": true, '
        '"replicas": [["/run/1", 7], ["/run/2", null]]}]}]}'
    )
    replicas = (Replica("/run/1", 7), Replica("/run/2"))
    deployment = Deployment("blue", 100, replicas, stopped=True)
    route = Route("iris", ("a", "b"), (deployment,), frozenset([8, 9]))
    assert table_from(told) == Table({"iris": route}, {"t": 7}, frozenset([7]))


def _chosen(route: Route, random: Random) -> tuple[Deployment, list[Replica]]:
    chosen = choose(route, random, nobody_waits)
    assert chosen is not None
    return chosen
