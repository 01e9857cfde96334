"""What is done next, row by row, and what must hold for whatever is seen."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from endpoints.decide import Action, Seen, next_action
from endpoints.models import STEPS, Deployment, State, Wanted

LIVE, STOPPED, GONE = Wanted.LIVE, Wanted.STOPPED, Wanted.GONE
FLAGS = ("released", "asked", "started", "ended", "overdue")
EVERYTHING = [
    Seen(
        state,
        wanted,
        size,
        present=present,
        fresh=min(fresh, present),
        ready=min(ready, fresh, present),
        outdated=max(0, present - fresh),
        **dict(zip(FLAGS, flags, strict=True)),
    )
    for state in State
    for wanted in Wanted
    for size, present, fresh, ready in itertools.product((1, 2), range(4), (0, 1, 3), (0, 1, 3))
    for flags in itertools.product((False, True), repeat=len(FLAGS))
]
# Nothing of it runs, nothing has been asked for: what is done in each state, for each thing wanted.
ALONE = {
    State.QUEUED: (Action.BEGIN, Action.STOP, Action.STOP),
    State.RESOLVING: (Action.RESOLVE, Action.STOP, Action.STOP),
    State.FETCHING: (Action.FETCH, Action.STOP, Action.STOP),
    State.BUILDING: (Action.BUILD, Action.STOP, Action.STOP),
    State.STARTING: (Action.START, Action.STOP, Action.STOP),
    State.PROBING: (None, Action.STOP, Action.STOP),
    State.TRYING: (None, Action.STOP, Action.STOP),
    State.LIVE: (Action.START, Action.STOP, Action.STOP),
    State.PAUSED: (None, Action.STOP, Action.STOP),
    State.FAILED: (None, Action.STOP, Action.STOP),
    State.STOPPING: (Action.REST, Action.REST, Action.REMOVE),
    State.STOPPED: (Action.QUEUE, None, Action.REMOVE),
}


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", State)
def test_what_is_done_in_each_state_for_each_thing_wanted(state: State, wanted: Wanted) -> None:
    expected = dict(zip((LIVE, STOPPED, GONE), ALONE[state], strict=True))[wanted]
    assert next_action(Seen(state, wanted)) is expected


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (Seen(State.STARTING, asked=True), None),
        (Seen(State.STARTING, asked=True, overdue=True), None),
        (Seen(State.STARTING, asked=True, started=True), Action.PROBE),
        (Seen(State.STARTING, asked=True, ended=True), Action.FAIL_START),
        (Seen(State.STARTING, asked=True, started=True, ended=True), Action.PROBE),
        (Seen(State.STARTING, size=3, asked=True, fresh=1), None),
        (Seen(State.PROBING, present=1, fresh=1), None),
        (Seen(State.PROBING, present=1, fresh=1, ready=1), Action.ENTER_TRY),
        (Seen(State.PROBING, present=1, fresh=1, ready=1, overdue=True), Action.ENTER_TRY),
        (Seen(State.PROBING, size=3, present=1, fresh=1, ready=1), Action.ENTER_TRY),
        (Seen(State.PROBING, present=1, fresh=1, overdue=True), Action.FAIL_SLOW),
        (Seen(State.PROBING, ended=True), Action.FAIL_START),
        (Seen(State.PROBING, ended=True, overdue=True), Action.FAIL_START),
        (Seen(State.TRYING, present=1, fresh=1, ready=1), Action.TRY),
        (Seen(State.TRYING, present=1, fresh=1), None),
        (Seen(State.TRYING, present=1, fresh=1, overdue=True), Action.FAIL_SLOW),
        (Seen(State.TRYING, ended=True), Action.FAIL_START),
        (Seen(State.FAILED, present=1, released=False), Action.RELEASE),
        (Seen(State.FAILED, present=1), None),
    ],
)
def test_on_the_way_to_live_and_when_it_has_failed(seen: Seen, action: Action | None) -> None:
    assert next_action(seen) is action


@pytest.mark.parametrize(
    ("size", "fresh", "ready", "outdated", "action"),
    [
        (1, 1, 1, 0, None),
        (1, 1, 0, 0, None),  # its engine is starting it again
        (1, 0, 0, 0, Action.START),
        (3, 1, 1, 0, Action.START),
        (3, 2, 0, 0, Action.START),  # the second need not wait until the first is ready
        (3, 3, 1, 0, None),
        (8, 8, 8, 0, None),
        (1, 2, 2, 0, Action.TRIM),
        (1, 3, 0, 0, Action.TRIM),
        # Restarted: new ones first, and no fewer answer meanwhile than shall.
        (1, 0, 0, 1, Action.START),
        (1, 1, 0, 1, None),
        (1, 1, 1, 1, Action.RETIRE),
        (3, 3, 0, 3, None),
        (3, 3, 1, 3, Action.RETIRE),
        (3, 3, 1, 2, None),
        (3, 3, 3, 1, Action.RETIRE),
        # Scaled meanwhile.
        (1, 3, 0, 3, Action.TRIM),
        (1, 1, 0, 3, Action.RETIRE),
        (2, 1, 1, 2, Action.START),
    ],
)
def test_a_live_one_is_kept_as_large_as_wanted(
    size: int, fresh: int, ready: int, outdated: int, action: Action | None
) -> None:
    seen = Seen(State.LIVE, size=size, fresh=fresh, ready=ready, outdated=outdated)
    assert next_action(replace(seen, present=fresh + outdated)) is action


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", [State.STOPPING, State.STOPPED])
@pytest.mark.parametrize(
    ("released", "action"),
    [(False, Action.RELEASE), (True, None)],
)
def test_a_rest_is_waited_for_whatever_is_wanted_then(
    state: State, wanted: Wanted, released: bool, action: Action | None
) -> None:
    assert next_action(Seen(state, wanted, present=1, released=released)) is action


def test_nothing_that_can_be_seen_is_without_an_answer() -> None:
    assert len(set(EVERYTHING)) > 10_000
    assert {next_action(seen) for seen in EVERYTHING} == {*Action, None}


def test_what_shall_go_or_rest_gets_there_from_wherever_it_is() -> None:
    """STOP, then wait for the replicas; and no move on that way is forbidden."""
    ends: dict[Wanted, set[Action | None]] = {GONE: {Action.REMOVE}, STOPPED: {Action.REST, None}}
    for seen in EVERYTHING:
        if seen.wanted == LIVE:
            continue
        if next_action(seen) is Action.STOP:
            assert State.STOPPING in Deployment.MOVES[seen.state], seen
            seen = replace(seen, state=State.STOPPING, released=True)
        resting = replace(seen, present=0, released=True)
        assert next_action(resting) in ends[seen.wanted]
        assert next_action(replace(seen, present=1, released=True)) is None


def test_what_has_stopped_can_be_queued_again() -> None:
    assert State.STOPPED in Deployment.MOVES[State.STOPPING]
    assert State.QUEUED in Deployment.MOVES[State.STOPPED]


def test_no_step_is_taken_for_what_shall_go_or_rest() -> None:
    ending = {Action.STOP, Action.RELEASE, Action.REST, Action.REMOVE, None}
    assert {next_action(seen) for seen in EVERYTHING if seen.wanted != LIVE} == ending


def test_nothing_is_removed_that_shall_stay() -> None:
    removed = [seen for seen in EVERYTHING if next_action(seen) is Action.REMOVE]
    assert {seen.wanted for seen in removed} == {GONE}


def test_a_failed_one_is_left_alone_until_a_person_retries() -> None:
    failed = [seen for seen in EVERYTHING if seen.state == State.FAILED and seen.wanted == LIVE]
    assert {next_action(seen) for seen in failed if seen.released} == {None}
    assert {next_action(seen) for seen in failed if not seen.released} == {Action.RELEASE}


def test_what_is_live_stays_live() -> None:
    """Nothing that is seen of it makes it fail."""
    live = [seen for seen in EVERYTHING if seen.state == State.LIVE and seen.wanted == LIVE]
    assert {next_action(seen) for seen in live} == {
        Action.START,
        Action.TRIM,
        Action.RETIRE,
        None,
    }


def test_while_it_is_live_no_fewer_are_left_than_answer_and_are_wanted() -> None:
    for seen in EVERYTHING:
        if next_action(seen) is Action.RETIRE:
            assert seen.standing_in + seen.ready >= seen.size
            assert seen.standing_in < seen.outdated


def test_every_step_on_the_way_has_work_to_do() -> None:
    for state in STEPS:
        assert next_action(Seen(state, present=1, fresh=1, ready=1)) is not None
