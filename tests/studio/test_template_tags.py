"""How values are written on pages."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from django.template import Context, Template
from django.utils.timezone import now

from studio.templatetags.studio import ago, duration, moment, number, run_mark, run_pill, state_pill


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (1.0, "1"),
        (0.1 + 0.2, "0.3"),
        (1234567.0, "1.23457e+06"),
        (0.00001234567, "1.23457e-05"),
        (-2.5, "-2.5"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (1.7976931348623157e308, "∞"),
        (-1.7976931348623157e308, "−∞"),
    ],
)
def test_a_metric_has_six_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (60, "1 min 0 s"),
        (3599.9, "1 h 0 min"),
        (3600, "1 h 0 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_a_duration_is_told_in_two_units_at_most(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (timedelta(seconds=-100), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=61), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=1, seconds=1), "1 h ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=1, seconds=1), "1 day ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=31), "1 month ago"),
        (timedelta(days=75), "2 months ago"),
        (timedelta(days=366), "1 year ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_how_long_ago_is_told_roughly_and_exactly(since: timedelta, text: str) -> None:
    then = now() - since
    told = ago(then)
    assert f">{text}</time>" in told
    assert f'datetime="{then.isoformat()}"'.replace("+", "&#x2B;") in told.replace("+", "&#x2B;")
    assert f'title="{then:%Y-%m-%d %H:%M:%S} UTC"' in told


def test_no_time_is_a_dash() -> None:
    assert ago(None) == "–"
    assert moment(None) is None


def test_times_of_mlflow_are_milliseconds() -> None:
    assert moment(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)


@pytest.mark.parametrize(
    ("status", "word"),
    [("FINISHED", "Finished"), ("FAILED", "Failed"), ("RUNNING", "Running"), (None, "Unknown")],
)
def test_a_state_is_a_word_and_not_only_a_colour(status: str | None, word: str) -> None:
    assert f'title="{word}"' in run_mark(status)
    assert f'aria-label="{word}"' in run_mark(status)
    assert f">{word}</span>" in run_pill(status)


def test_a_state_that_nobody_knows_is_shown_as_text() -> None:
    for told in (run_mark("<b>"), run_pill("<b>"), state_pill("<b>")):
        assert "<b>" not in told.lower()


@pytest.mark.parametrize(
    ("state", "colour"),
    [("live", "good"), ("failed", "bad"), ("building", "busy"), ("stopped", ""), ("paused", "")]
    + [
        ("ready", "good"),
        ("starting", "busy"),
        ("unready", "warn"),
        ("draining", "busy"),
        ("gone", ""),
    ],
)
def test_what_is_not_settled_is_busy(state: str, colour: str) -> None:
    assert state_pill(state) == f'<span class="pill {colour}">{state.capitalize()}</span>'
    assert ">Words<" in state_pill(state, "Words")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{ tags|item:"source.name" }}', "train.py"),
        ('{{ tags|item:"nothing" }}', "None"),
        ("{{ values|as_json }}", "{\n  &quot;a&quot;: &quot;&lt;b&gt;&quot;\n}"),
    ],
)
def test_filters_need_no_load_tag_and_escape(template: str, text: str) -> None:
    values = {"tags": {"source.name": "train.py"}, "values": {"a": "<b>"}}
    assert Template(template).render(Context(values)) == text
