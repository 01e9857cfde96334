"""What to do next for a deployment, from what is wanted and what is there. No input or output: a table tests it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from endpoints.models import State


class Action(Enum):
    BEGIN = "take it out of the queue"
    RESOLVE = "find the model version's files"
    FETCH = "copy them"
    BUILD = "build the environment"
    START = "ask the engine for a replica"
    PROBE = "note that the replica was started"
    TRY = "send the input example"
    FAIL_START = "tell why the replica ended"
    FAIL_SLOW = "give up on a replica that does not get ready"
    RELEASE = "ask the engine to end what a failed attempt left running"
    STOP = "ask the engine to end the replicas"
    REMOVE = "delete the row and its files"
    ENTER_TRY = "note that the replica is ready"


@dataclass(frozen=True, slots=True)
class Seen:
    """A deployment as it is: its row, and what its engine tells of the current attempt's replica."""

    state: State
    gone_wanted: bool = False
    replicas: int = 0  # present ones, of any attempt
    released: bool = True  # all of these have been asked to end
    asked: bool = False  # the current attempt has asked for a replica
    started: bool = False
    ready: bool = False
    ended: bool = False
    overdue: bool = False  # it has been loading longer than anyone will wait


_WORK = {
    State.QUEUED: Action.BEGIN,
    State.RESOLVING: Action.RESOLVE,
    State.FETCHING: Action.FETCH,
    State.BUILDING: Action.BUILD,
}


def next_action(seen: Seen) -> Action | None:
    """None: nothing to do until something changes."""
    if seen.gone_wanted:
        return _ending(seen)
    if seen.state in _WORK:
        return _WORK[seen.state]
    if seen.state == State.STARTING:
        return _starting(seen)
    if seen.state in (State.PROBING, State.TRYING):
        return _loading(seen)
    if seen.state == State.LIVE and not seen.replicas:
        return Action.START  # the last one ended before its engine knew that it was live
    if seen.state == State.FAILED and not seen.released:
        return Action.RELEASE
    return None


def _ending(seen: Seen) -> Action | None:
    if seen.state not in (State.STOPPING, State.STOPPED):
        return Action.STOP
    return None if seen.replicas else Action.REMOVE


def _starting(seen: Seen) -> Action | None:
    if not seen.asked:
        return Action.START
    if seen.ended:
        return Action.FAIL_START
    return Action.PROBE if seen.started else None


def _loading(seen: Seen) -> Action | None:
    """Also while trying: a replica that its agent starts again has to get ready once more."""
    if seen.ended:
        return Action.FAIL_START
    if seen.ready:
        return Action.ENTER_TRY if seen.state == State.PROBING else Action.TRY
    return Action.FAIL_SLOW if seen.overdue else None
