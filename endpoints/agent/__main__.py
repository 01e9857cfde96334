"""`python -m endpoints.agent`: runs this host's replicas until SIGTERM."""

from __future__ import annotations

import os
import signal
from types import FrameType

import django


def main() -> None:
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    # First of all: whoever ends it while it still starts wants the replicas ended too.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    django.setup()
    from endpoints.agent.agent import Agent

    Agent(lambda: bool(asked)).run()


if __name__ == "__main__":
    main()
