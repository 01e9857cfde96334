"""The lane on the tests' database, in which no models are left afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.tracking.lane.conftest import lane, wire

__all__ = ["lane", "wire"]


@pytest.fixture(autouse=True)
def registry(lane: None) -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE registered_models CASCADE")
