from __future__ import annotations

import pytest

from tests.support.rows import make_experiment, make_run
from tracking.models import Run


@pytest.fixture
def run(db: None) -> Run:
    return make_run(make_experiment())
