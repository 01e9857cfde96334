"""How long requests took lately."""

from __future__ import annotations

import json
from random import Random

import pytest

from studio.health import windows
from studio.health.windows import SPAN, Windows, paces, together

pytestmark = pytest.mark.usefixtures("one_window")


def told_of(*seconds: float, route: str = "GET a") -> dict[str, list[float]]:
    made = Windows()
    for one in seconds:
        made.note(route, one)
    [told] = made.news().values()
    return told


def test_a_route_without_requests_is_not_told() -> None:
    assert paces([]) == []
    assert together([]).count == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_told_is_right_within_a_fifth(seed: int) -> None:
    took = sorted(Random(seed).lognormvariate(-3, 1) for _ in range(2000))  # noqa: S311
    [pace] = paces([told_of(*took)])
    assert pace.count == 2000
    assert pace.longest == took[-1]
    assert pace.p50 == pytest.approx(took[1000], rel=0.2)
    assert pace.p95 == pytest.approx(took[1900], rel=0.2)


def test_no_share_took_longer_than_the_longest() -> None:
    [pace] = paces([told_of(0.3)])
    assert 0 < pace.p50 <= pace.p95 <= pace.longest == 0.3
    [pace] = paces([told_of(500.0, 500.0)])
    assert 50 < pace.p95 <= 500


def test_windows_of_several_processes_are_one_the_slowest_route_first() -> None:
    one, two = told_of(0.1, 0.1), told_of(0.4) | told_of(3.0, route="POST b")
    slow, fast = paces([one, two])
    assert (slow.route, slow.count, slow.longest) == ("POST b", 1, 3.0)
    assert (fast.route, fast.count, fast.longest) == ("GET a", 3, 0.4)
    assert together([one, two]).count == 4


def test_what_was_told_is_told_again_only_when_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000_000 * SPAN]
    monkeypatch.setattr(windows, "time", lambda: clock[0])
    made = Windows()
    made.note("GET a", 0.1)
    first = made.news()
    assert list(first) == [clock[0]]
    made.told(first)
    assert made.news() == {}
    made.note("GET a", 0.2)
    clock[0] += SPAN
    made.note("GET a", 0.3)
    news = made.news()
    assert [told["GET a"][0] for told in news.values()] == [2, 1]
    json.dumps(news)


def test_nobody_who_takes_them_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(windows, "time", lambda: clock[0])
    made = Windows()
    for _ in range(50):
        clock[0] += SPAN
        made.note("GET a", 0.1)
    assert len(made.news()) == 13


def test_what_comes_while_news_are_taken_along_is_news_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000_000 * SPAN]
    monkeypatch.setattr(windows, "time", lambda: clock[0])
    made = Windows()
    made.note("GET a", 0.1)
    news = made.news()
    made.note("GET a", 0.1)
    made.told(news)
    assert made.news()[clock[0]]["GET a"][0] == 2
    taken = made.news()
    made.note("GET a", 0.1)
    clock[0] += SPAN  # the window ends while it is on its way
    made.note("GET a", 0.1)
    made.told(taken)
    assert [told["GET a"][0] for told in made.news().values()] == [3, 1]
    made.told(made.news())
    assert made.news() == {}
