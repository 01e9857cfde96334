from __future__ import annotations

import errno

import psycopg
import pytest
from django.db import utils

from studio.lib.trouble import told


def caused(failure: Exception, cause: Exception) -> Exception:
    failure.__cause__ = cause
    return failure


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk has no space left"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "no space left for Studio's account"),
        (OSError(errno.EROFS, "Read-only file system"), "The disk can only be read"),
        (psycopg.errors.DiskFull("could not extend file"), "The database's disk has no space left"),
        (psycopg.errors.ReadOnlySqlTransaction("cannot"), "can only be read at the moment"),
        (psycopg.errors.TooManyConnections("sorry"), "takes no more connections"),
        (psycopg.errors.AdminShutdown("terminating"), "is not answering"),
        (psycopg.errors.CannotConnectNow("starting up"), "is not answering"),
        (psycopg.OperationalError("connection refused"), "is not answering"),
        (psycopg.errors.QueryCanceled("timeout"), "could not do this now"),
        # MLflow repeats by itself what holds this word.
        (psycopg.errors.DeadlockDetected("deadlock detected"), "deadlock"),
        (
            caused(utils.OperationalError("x"), psycopg.errors.DiskFull("x")),
            "The database's disk has no space left",
        ),
    ],
)
def test_what_the_machine_refuses_is_told_in_words(failure: Exception, words: str) -> None:
    found = told(failure)
    assert found is not None
    assert words in found


@pytest.mark.parametrize(
    "failure",
    [
        None,
        ValueError("x"),
        OSError(errno.ENOENT, "No such file"),
        psycopg.errors.UniqueViolation("duplicate key"),
        caused(utils.IntegrityError("x"), psycopg.errors.NotNullViolation("x")),
    ],
)
def test_a_mistake_is_none_of_the_machines(failure: Exception | None) -> None:
    assert told(failure) is None
