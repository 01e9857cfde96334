"""`python -m endpoints.agent`: runs this host's replicas until SIGTERM."""

from __future__ import annotations

import signal
from types import FrameType

import django

from studio.lib.start import read_settings


def main() -> None:
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    # First of all: whoever ends it while it still starts wants the replicas ended too.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    read_settings()
    django.setup()
    from endpoints.agent.agent import Agent
    from studio.lib import heartbeat

    heartbeat.start("agent")

    Agent(lambda: bool(asked)).run()


if __name__ == "__main__":
    main()
