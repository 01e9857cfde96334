"""Modules that import each other in a circle are never seen half made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio.lib.imports import load

# Each comes into the circle from its own side, and takes long enough to meet the other there.
FIRST = """
import time
time.sleep(0.2)
import circle_second
time.sleep(0.2)
NAME = "first"
"""
SECOND = """
import time
time.sleep(0.2)
NAME = "second"
import circle_first
"""


def test_two_threads_that_come_from_two_sides_see_whole_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "circle_first.py").write_text(FIRST)
    (tmp_path / "circle_second.py").write_text(SECOND)
    monkeypatch.syspath_prepend(str(tmp_path))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(lambda: load("circle_first").circle_second.NAME)
        second = threads.submit(lambda: load("circle_second").circle_first.NAME)
        assert (first.result(10), second.result(10)) == ("second", "first")
