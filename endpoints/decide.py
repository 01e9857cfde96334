"""What to do next for a deployment, from what is wanted and what is there. No input or output: a table tests it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from endpoints.models import State, Wanted


class Action(Enum):
    BEGIN = "take it out of the queue"
    RESOLVE = "find the model version's files"
    FETCH = "copy them"
    BUILD = "build the environment"
    START = "ask the engine for a replica"
    PROBE = "note that the replica was started"
    ENTER_TRY = "note that the replica is ready"
    TRY = "send the input example"
    FAIL_START = "tell why the replica ended"
    FAIL_SLOW = "give up on a replica that does not get ready"
    TRIM = "ask the engine to end the replicas that are too many"
    RETIRE = "ask the engine to end outdated replicas whose place others have taken"
    RELEASE = "ask the engine to end what shall no longer run"
    STOP = "ask the engine to end all replicas"
    REST = "note that nothing of it runs any more"
    QUEUE = "begin a new attempt"
    REMOVE = "delete the row and its files"


@dataclass(frozen=True, slots=True)
class Seen:
    """A deployment as it is: its row, and what its engine tells of its replicas."""

    state: State
    wanted: Wanted = Wanted.LIVE
    size: int = 1  # how many replicas it shall have
    present: int = 0  # replicas that are not gone, of any attempt
    released: bool = True  # all of these have been asked to end
    # Of the current attempt: its newest replica,
    asked: bool = False
    started: bool = False
    ended: bool = False
    overdue: bool = False  # it has been loading longer than anyone will wait
    # and those that have not been asked to end.
    fresh: int = 0
    ready: int = 0  # of the fresh ones
    outdated: int = 0

    @property
    def standing_in(self) -> int:
        """How many outdated ones are still needed, so that no fewer answer than shall."""
        return max(0, self.size - self.ready)


_WORK = {
    State.QUEUED: Action.BEGIN,
    State.RESOLVING: Action.RESOLVE,
    State.FETCHING: Action.FETCH,
    State.BUILDING: Action.BUILD,
}


def next_action(seen: Seen) -> Action | None:
    """None: nothing to do until something changes."""
    if seen.wanted != Wanted.LIVE or seen.state in (State.STOPPING, State.STOPPED):
        return _ending(seen)
    if seen.state in _WORK:
        return _WORK[seen.state]
    if seen.state == State.STARTING:
        return _starting(seen)
    if seen.state in (State.PROBING, State.TRYING):
        return _loading(seen)
    if seen.state == State.LIVE:
        return _keeping(seen)
    if seen.state == State.FAILED and not seen.released:
        return Action.RELEASE
    return None


def _ending(seen: Seen) -> Action | None:
    """To a rest, and from there to where it is wanted: also one that shall be live again after all."""
    if seen.state not in (State.STOPPING, State.STOPPED):
        return Action.STOP
    if not seen.released:
        return Action.RELEASE
    if seen.present:
        return None
    if seen.wanted == Wanted.GONE:
        return Action.REMOVE
    if seen.state == State.STOPPING:
        return Action.REST
    return Action.QUEUE if seen.wanted == Wanted.LIVE else None


def _starting(seen: Seen) -> Action | None:
    if not seen.asked:
        return Action.START
    if seen.started:  # one that has ended since failed while it loaded, however soon
        return Action.PROBE
    return Action.FAIL_START if seen.ended else None


def _loading(seen: Seen) -> Action | None:
    """Also while trying: a replica that its agent starts again has to get ready once more."""
    if seen.ended:
        return Action.FAIL_START
    if seen.ready:
        return Action.ENTER_TRY if seen.state == State.PROBING else Action.TRY
    return Action.FAIL_SLOW if seen.overdue else None


def _keeping(seen: Seen) -> Action | None:
    """As many as wanted, counting those that load or are started again; outdated ones stand in for them meanwhile."""
    if seen.fresh < seen.size:
        return Action.START
    if seen.fresh > seen.size:
        return Action.TRIM
    return Action.RETIRE if seen.outdated > seen.standing_in else None
