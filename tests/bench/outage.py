"""A minute without PostgreSQL and Redis, under load: what is lost, and how soon all goes on by itself."""

from __future__ import annotations

from tests.bench.timing import Result
from tests.support.live import Studio, studio
from tests.support.outage import Writer, survive
from tests.support.own_servers import own_servers

AWAY = 60.0  # seconds


def measure(_: Studio) -> list[Result]:
    """On a Studio of its own, with servers of its own, which are killed and started again."""
    with own_servers() as servers, studio(seconds=120, more=servers.settings) as running:
        writer = Writer(running, running.token())
        with writer.writing():
            outcome = survive(running, servers, writer, AWAY)
        lost = len(writer.acknowledged - writer.kept())
    before, after = outcome.pids
    restarted = sum(before[name] != after[name] for name in before)
    name = f"PostgreSQL and Redis killed for {AWAY:.0f} s under load"
    refused = ", ".join(f"{many} × {status}" for status, many in sorted(writer.refused.items()))
    sides = {
        "acknowledged": str(len(writer.acknowledged)),
        "refused": refused,
        "slowest answer": f"{writer.longest:.1f} s",
    }
    told = {"called unwell meanwhile": ", ".join(sorted(outcome.told))}
    again = {"processes started again": str(restarted)}
    return [
        Result(f"{name}: acknowledged writes lost", sides, lost, "writes", "at most", 0),
        Result(f"{name}: first write after", told, outcome.seconds_to_write, "s", "at most", 5),
        Result(f"{name}: all well after", again, outcome.seconds_to_well, "s", "at most", 35),
        Result(f"{name}: processes that died", {}, restarted, "processes", "at most", 0),
    ]
