"""`python -m endpoints.agent`: runs this host's replicas until SIGTERM."""

from __future__ import annotations

import os
import signal
from types import FrameType

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    django.setup()
    from endpoints.agent.agent import Agent

    agent = Agent()

    def stop(number: int, frame: FrameType | None) -> None:
        agent.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    agent.run()


if __name__ == "__main__":
    main()
