"""What a log line looks like, as text and as JSON, and which of it is kept for the health page."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from studio.launch.log import Log
from studio.lib import logs, request_ids


@pytest.fixture(autouse=True)
def no_request() -> Iterator[None]:
    """No request is worked on, and no error is left of an earlier test."""
    logs.failures.clear()
    request_ids.go_on("")
    request_ids.tell_about("")
    yield
    request_ids.go_on("")
    request_ids.tell_about("")
    logs.failures.clear()


def record(
    message: str, *values: object, level: int = logging.INFO, **more: object
) -> logging.LogRecord:
    made = logging.LogRecord("studio.test", level, __file__, 1, message, values, None)
    made.__dict__.update(more)
    return made


def raised() -> logging.LogRecord:
    try:
        raise KeyError("a value of somebody's")
    except KeyError:
        made = record("it failed for %s", "somebody", level=logging.ERROR)
        made.exc_info = sys.exc_info()
        return made


def as_json(made: logging.LogRecord) -> dict[str, str]:
    line = logs.JsonLine().format(made)
    assert "\n" not in line
    told: dict[str, str] = json.loads(line)
    return told


def test_a_line_for_people_names_the_request_once() -> None:
    assert logs.TextLine().format(record("a %s", 1)) == "INFO studio.test a 1"
    request_ids.begin("mine")
    assert logs.TextLine().format(record("a")) == "INFO studio.test a request_id=mine"
    assert logs.TextLine().format(record("request_id=mine")) == "INFO studio.test request_id=mine"


def test_a_line_for_programs_holds_what_is_told_each_in_its_place() -> None:
    request_ids.begin("mine")
    told = as_json(record('two\nlines and "quotes"', level=logging.WARNING))
    at = told.pop("at")
    assert (at[10], at[-1]) == ("T", "Z")
    assert told == {
        "level": "WARNING",
        "process": logs.process(),
        "logger": "studio.test",
        "message": 'two\nlines and "quotes"',
        "request_id": "mine",
    }


def test_without_a_request_there_is_no_id() -> None:
    assert "request_id" not in as_json(record("a"))


def test_an_exception_is_a_field_of_the_line() -> None:
    told = as_json(raised())
    assert told["message"] == "it failed for somebody"
    assert told["exception"].startswith("Traceback")
    assert "KeyError" in told["exception"]


def test_what_cannot_be_json_is_written_as_text() -> None:
    assert as_json(record("%s", object()))["message"].startswith("<object")


def test_an_error_is_kept_by_its_class_and_place_and_without_its_values() -> None:
    request_ids.begin("mine")
    request_ids.tell_about("a/route")
    logs.Keep().emit(raised())
    [kept] = logs.failures
    assert (kept.kind, kept.route, kept.request_id) == ("KeyError", "a/route", "mine")
    assert kept.message.startswith("in raised, lib/test_log_lines.py line ")
    assert "somebody" not in repr(kept)


@pytest.mark.parametrize(
    ("message", "values", "kept"),
    [
        ("lost after %.1f s: %s", (1.5, "secret"), "lost after … s: …"),
        ("task %(name)s failed", ({"name": "secret"},), "task … failed"),
        ("100 %% of two\nlines", (), "100 %% of two lines"),
    ],
)
def test_an_error_without_an_exception_is_kept_by_its_words_alone(
    message: str, values: tuple[object, ...], kept: str
) -> None:
    logs.Keep().emit(record(message, *values, level=logging.ERROR))
    assert logs.failures[0].message == kept
    assert (logs.failures[0].route, logs.failures[0].kind) == ("studio.test", "ERROR")


def test_only_the_newest_are_kept() -> None:
    for number in range(logs.KEPT + 5):
        logs.Keep().emit(record("a", level=logging.ERROR, brief=str(number)))
    assert len(logs.failures) == logs.KEPT
    assert logs.failures[-1].message == str(logs.KEPT + 4)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a-b_c.D9", True), ("x" * 64, True), ("x" * 65, False), ("", False), ("a b", False)]
    + [("a\nb", False), ("ä", False), ("a;b", False), ("a\n", False)],
)
def test_an_id_from_outside_is_kept_if_it_can_do_no_harm(given: str, kept: bool) -> None:
    known = request_ids.begin(given)
    assert request_ids.current() == known
    assert (known == given) is kept
    assert kept or (len(known) == 32 and known.isalnum())


def test_work_for_a_request_from_elsewhere_takes_no_id_that_does_harm() -> None:
    request_ids.go_on("theirs")
    assert request_ids.current() == "theirs"
    request_ids.go_on("a\nb")
    assert request_ids.current() == ""


def written(form: str, process: str, line: str) -> str:
    stream = io.StringIO()
    Log(form, stream).write(process, line)
    return stream.getvalue()


def test_up_wraps_the_lines_of_others() -> None:
    told = json.loads(written("json", "postgres", "FATAL:  the database is “gone”"))
    assert told["message"] == "FATAL:  the database is “gone”"
    assert (told["process"], told["level"]) == ("postgres", "CRITICAL")
    assert told["at"].endswith("Z")


def test_up_wraps_no_line_twice() -> None:
    request_ids.begin("mine")
    line = logs.JsonLine().format(record("a", level=logging.WARNING))
    told = json.loads(written("json", "worker", f"{line}\n"))
    assert told == json.loads(line) | {"process": "worker"}


@pytest.mark.parametrize("line", ['{"at": "now"}', '{"at": 1, "broken', "{}", "[1]"])
def test_what_only_looks_like_a_line_of_ours_is_wrapped(line: str) -> None:
    assert json.loads(written("json", "web", line))["message"] == line


def test_a_line_for_people_has_its_process_first() -> None:
    assert written("text", "web", "a line\n").split(" ", 1)[1] == "web       a line\n"


def test_where_programs_read_warnings_and_the_end_of_a_process_are_lines_too() -> None:
    code = """
import logging, sys, warnings
from studio.lib import logs
logs.name_process("tried")
handler = logging.StreamHandler()
handler.setFormatter(logs.JsonLine())
logging.root.addHandler(handler)
logs.take_all()
warnings.warn("mind the gap", UserWarning)
raise KeyError("the end")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    warned, ended = map(json.loads, done.stderr.splitlines())
    assert (warned["level"], warned["process"]) == ("WARNING", "tried")
    assert "mind the gap" in warned["message"]
    assert (done.returncode, ended["level"]) == (1, "CRITICAL")
    assert "KeyError: 'the end'" in ended["exception"]
