"""What is done next, row by row, and what must hold for whatever is seen."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from endpoints.decide import Action, Seen, next_action
from endpoints.models import STEPS, Deployment, State

_FLAGS = ("gone_wanted", "released", "asked", "started", "ready", "ended", "overdue")
EVERYTHING = [
    Seen(state, replicas=replicas, **dict(zip(_FLAGS, flags, strict=True)))
    for state in State
    for replicas in (0, 1, 2)
    for flags in itertools.product((False, True), repeat=len(_FLAGS))
]


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (Seen(State.QUEUED), Action.BEGIN),
        (Seen(State.RESOLVING), Action.RESOLVE),
        (Seen(State.FETCHING), Action.FETCH),
        (Seen(State.BUILDING), Action.BUILD),
        (Seen(State.STARTING), Action.START),
        (Seen(State.STARTING, asked=True), None),
        (Seen(State.STARTING, asked=True, overdue=True), None),
        (Seen(State.STARTING, asked=True, started=True), Action.PROBE),
        (Seen(State.STARTING, asked=True, ended=True), Action.FAIL_START),
        (Seen(State.STARTING, asked=True, started=True, ended=True), Action.FAIL_START),
        (Seen(State.PROBING, replicas=1), None),
        (Seen(State.PROBING, replicas=1, ready=True), Action.ENTER_TRY),
        (Seen(State.PROBING, replicas=1, ready=True, overdue=True), Action.ENTER_TRY),
        (Seen(State.PROBING, replicas=1, overdue=True), Action.FAIL_SLOW),
        (Seen(State.PROBING, ended=True), Action.FAIL_START),
        (Seen(State.PROBING, ended=True, overdue=True), Action.FAIL_START),
        (Seen(State.TRYING, replicas=1, ready=True), Action.TRY),
        (Seen(State.TRYING, replicas=1), None),
        (Seen(State.TRYING, replicas=1, overdue=True), Action.FAIL_SLOW),
        (Seen(State.TRYING, ended=True), Action.FAIL_START),
        (Seen(State.LIVE, replicas=1, ready=True), None),
        (Seen(State.LIVE, replicas=1), None),
        (Seen(State.LIVE, ended=True), Action.START),
        (Seen(State.FAILED), None),
        (Seen(State.FAILED, replicas=1, released=False), Action.RELEASE),
        (Seen(State.FAILED, replicas=1), None),
        (Seen(State.PAUSED), None),
        (Seen(State.LIVE, gone_wanted=True, replicas=1, ready=True), Action.STOP),
        (Seen(State.QUEUED, gone_wanted=True), Action.STOP),
        (Seen(State.FAILED, gone_wanted=True), Action.STOP),
        (Seen(State.STOPPING, gone_wanted=True, replicas=1), None),
        (Seen(State.STOPPING, gone_wanted=True), Action.REMOVE),
        (Seen(State.STOPPED, gone_wanted=True), Action.REMOVE),
    ],
)
def test_what_is_done_next(seen: Seen, action: Action | None) -> None:
    assert next_action(seen) is action


def test_nothing_that_can_be_seen_is_without_an_answer() -> None:
    assert len(EVERYTHING) == len(State) * 3 * 2 ** len(_FLAGS)
    for seen in EVERYTHING:
        assert next_action(seen) is None or isinstance(next_action(seen), Action)


def test_what_shall_go_ends_from_wherever_it_is() -> None:
    """STOP, then wait for the replicas, then REMOVE; and no move on that way is forbidden."""
    for seen in EVERYTHING:
        if not seen.gone_wanted:
            continue
        if next_action(seen) is Action.STOP:
            assert State.STOPPING in Deployment.MOVES[seen.state], seen
            seen = replace(seen, state=State.STOPPING)
        assert next_action(replace(seen, replicas=0)) is Action.REMOVE
        assert next_action(replace(seen, replicas=1)) is None


def test_no_step_is_taken_for_what_shall_go() -> None:
    ending = {Action.STOP, Action.REMOVE, None}
    assert {next_action(seen) for seen in EVERYTHING if seen.gone_wanted} == ending


def test_a_failed_one_is_left_alone_until_a_person_retries() -> None:
    failed = [seen for seen in EVERYTHING if seen.state == State.FAILED and not seen.gone_wanted]
    assert {next_action(seen) for seen in failed if seen.released} == {None}
    assert {next_action(seen) for seen in failed if not seen.released} == {Action.RELEASE}


def test_every_step_on_the_way_has_work_to_do() -> None:
    for state in STEPS:
        assert next_action(Seen(state, replicas=1, ready=True)) is not None
