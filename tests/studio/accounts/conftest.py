from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.accounts.models import MlflowUser


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """For a test that commits: Django empties its own tables afterwards, and this MLflow's."""
    yield
    MlflowUser.objects.all().delete()
