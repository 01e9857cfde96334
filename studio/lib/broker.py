"""Redis as Celery's broker, which may go away and come back while tasks run."""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel, QoS


class CarefulQoS(QoS):  # type: ignore[misc]  # kombu carries no types
    """Does nothing about a message whose connection is lost. kombu 5.7 fails at it, and with it the worker ends.

    The broker may deliver such a message again. Nothing depends on it: rows say what is unfinished.
    """

    restore_at_shutdown = False

    def ack(self, delivery_tag: Any) -> None:
        if self.channel.connection is not None:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        if self.channel.connection is not None:
            super().reject(delivery_tag, requeue)


def survive_its_loss() -> None:
    """For every worker, before it connects."""
    Channel.QoS = CarefulQoS
