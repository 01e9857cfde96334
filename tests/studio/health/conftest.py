"""What the tests of health share."""

from __future__ import annotations

import pytest

from studio.health import windows


@pytest.fixture
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the windows stands: what is noted in a test falls into one, whenever the test runs."""
    monkeypatch.setattr(windows, "time", lambda: 1_000_000.0 * windows.SPAN)
