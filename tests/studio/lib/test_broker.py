"""A task whose broker was lost ends quietly: its worker goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection
from kombu.transport.redis import Channel, QoS

from studio.lib.broker import survive_its_loss
from studio.lib.redis import celery_url


@pytest.fixture
def taken(stores: None) -> Iterator[Any]:
    """A message that a worker has taken from Redis and works on, when the connection is lost."""
    survive_its_loss()
    with Connection(celery_url(settings.REDIS_URL)) as connection:
        queue = connection.SimpleQueue("a-test-of-the-broker")
        queue.put({"task": 1})
        message = queue.get(timeout=5)
        yield message
        queue.clear()


@pytest.fixture
def lost(taken: Any) -> Iterator[Any]:
    """The same message once its channel is as a worker's is that has lost the broker: closed, and without pools."""
    channel: Channel = taken.channel
    channel._disconnect_pools()
    connection, channel.connection = channel.connection, None
    yield taken
    channel.connection = connection


@pytest.mark.parametrize("end", ["ack", "reject", "requeue"])
def test_what_its_task_ends_with_is_no_error(lost: Any, end: str) -> None:
    getattr(lost, end)()
    lost.channel.qos.restore_unacked_once()


def test_kombu_by_itself_still_fails_at_it(lost: Any) -> None:
    """When this fails, kombu has mended it, and studio.lib.broker can go."""
    own = QoS(lost.channel)
    with pytest.raises(AttributeError):
        own.ack(lost.delivery_tag)
    own._delivered[lost.delivery_tag] = lost
    with pytest.raises(AttributeError):
        own.restore_unacked_once()
    own._delivered.clear()


def test_a_broker_that_is_there_is_told(taken: Any) -> None:
    tag = taken.delivery_tag
    client = taken.channel.client
    assert client.hexists("unacked", tag)
    taken.ack()
    assert not client.hexists("unacked", tag)
