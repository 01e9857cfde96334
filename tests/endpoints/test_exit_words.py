"""Why a model server ended, in words that its log bears out."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints.agent.children import LOAD_RAISED, why

TRACEBACK = "Traceback (most recent call last):\n  File 'm.py'\nValueError: no\n"


@pytest.mark.parametrize(
    ("code", "log", "told"),
    [
        (LOAD_RAISED, TRACEBACK, "its code raised an error, which the log shows."),
        (LOAD_RAISED, TRACEBACK + "x\n" * 2000, "its code raised an error, which the log shows."),
        (LOAD_RAISED, "loading\n", "it ended with exit code 3."),
        (LOAD_RAISED, None, "it ended with exit code 3."),
        (1, TRACEBACK, "it ended with exit code 1."),
        (0, "", "it ended by itself."),
        (-9, "", "it was ended by SIGKILL, perhaps for want of memory."),
        (None, TRACEBACK, "how it ended is not known."),
    ],
)
def test_an_error_is_told_only_where_the_log_shows_one(
    tmp_path: Path, code: int | None, log: str | None, told: str
) -> None:
    path = tmp_path / "replica.log"
    if log is not None:
        path.write_text(log)
    assert why(code, path) == told
