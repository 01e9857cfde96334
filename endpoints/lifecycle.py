"""`reconcile`: the one function that moves a deployment towards what is wanted of it."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event

from django.db import InterfaceError, OperationalError, transaction
from django.utils.timezone import now

from endpoints import logs, steps
from endpoints.decide import Action, Seen, next_action
from endpoints.engines import engine
from endpoints.environments import BuildFailed, Cancelled
from endpoints.lease import lease
from endpoints.models import (
    Attempt,
    AttemptStep,
    Deployment,
    Endpoint,
    ReplicaState,
    State,
    Wanted,
)
from endpoints.steps import Done, StepFailed, Work
from studio.lib.errors import Conflict, StateConflict, StudioError
from studio.lib.notify import ROUTES, notify

log = logging.getLogger(__name__)

# A model that has not loaded by then is given up.
LOADING_PATIENCE = timedelta(minutes=10)
_AN_ERROR = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt)\b")


class ReplicaEnded(StepFailed):
    """It ended, or is given up. `detail` is the end of the replica's own log."""


def reconcile(pk: int) -> bool:
    """Take one bounded step. Safe at any time, from anywhere, twice at once. True: call again."""
    with lease(pk) as held:
        if held is None:
            return False
        deployment = Deployment.objects.select_related("endpoint").filter(pk=pk).first()
        # A worker that was stopped since it took the lease must not take another's for its own.
        if deployment is None or deployment.lease_holder != held.holder:
            return False
        if _step(deployment, held.lost):
            return True
    # Who brought news while the lease was held was sent away.
    return Deployment.objects.filter(pk=pk).exclude(changes=deployment.changes).exists()


def _step(deployment: Deployment, lost: Event) -> bool:
    """Whether one was taken."""
    attempt = deployment.attempts.first()
    assert attempt is not None  # made with the deployment
    action = next_action(observe(deployment, attempt))
    if action is None:
        return False
    log.info(
        "deployment=%s attempt=%s state=%s action=%s",
        deployment,
        attempt.number,
        deployment.state,
        action.name,
    )
    work = Work(deployment, attempt, lost)
    try:
        DOING[action](work)
    except (StateConflict, Cancelled, OperationalError, InterfaceError) as meanwhile:
        # Another was faster, it is no longer wanted, or the database went away: the next call sees how it is.
        log.info("deployment=%s action=%s left: %s", deployment.pk, action.name, meanwhile)
        return isinstance(meanwhile, Cancelled)
    except Exception as failure:  # noqa: BLE001 - whatever a step raises ends in FAILED with its cause, never in nothing
        return _fail(work, failure)
    return True


def observe(deployment: Deployment, attempt: Attempt) -> Seen:
    seen = engine().seen(attempt)
    newest = seen[-1] if seen else None
    fresh = [replica for replica in seen if replica.kept and not replica.outdated]
    return Seen(
        state=State(deployment.state),
        wanted=Wanted(deployment.wanted),
        size=deployment.replicas_wanted,
        present=engine().present(deployment),
        released=engine().released(deployment),
        asked=newest is not None,
        started=newest is not None and newest.started,
        ended=newest is not None and newest.state == ReplicaState.GONE,
        overdue=now() - deployment.state_at > LOADING_PATIENCE,
        fresh=len(fresh),
        ready=sum(replica.state == ReplicaState.READY for replica in fresh),
        outdated=sum(replica.kept and replica.outdated for replica in seen),
    )


@contextlib.contextmanager
def _held(work: Work) -> Iterator[Wanted]:
    """A transaction in which the row stays ours, with what is wanted of it. Raises StateConflict when it is not.

    A worker that was stopped longer than its lease lasted must not do what another has done meanwhile.
    """
    mine = Deployment.objects.select_for_update(no_key=True).filter(
        pk=work.deployment.pk, lease_holder=work.deployment.lease_holder
    )
    with transaction.atomic():
        wanted = mine.values_list("wanted", flat=True).first()
        if wanted is None:
            raise StateConflict("the lease is another's by now")
        yield Wanted(wanted)


def _enter(work: Work, state: State, done: Done) -> None:
    """End the running step with what it found, and begin the next one."""
    with _held(work):
        work.deployment.move(state, **done.fields)
        told = _storable(done.told)[:200]
        work.attempt.steps.filter(ended_at=None).update(ended_at=now(), detail=told)
        if state != State.LIVE:
            AttemptStep.objects.create(attempt=work.attempt, name=state)


def _fail(work: Work, failure: Exception) -> bool:
    """End the attempt: the person reads what happened, the log keeps all of it. False: it is past failing."""
    reason, detail = _told(failure)
    if work.deployment.state == State.LIVE:  # and stays so: the sweep tries again
        log.error("deployment=%s not kept as wanted: %s %s", work.deployment, reason, detail)
        return False
    with contextlib.suppress(OSError):  # where the log cannot be written, the row still tells
        indent = logs.COPIED if isinstance(failure, ReplicaEnded) else "  "
        for line in [] if isinstance(failure, BuildFailed) else detail.splitlines():
            work.say(f"{indent}{line}")  # of a build, all has been said
        work.say(f"FAILED: {reason}")
    log.warning(
        "deployment=%s state=%s failed: %s",
        work.deployment,
        work.deployment.state,
        reason,
    )
    try:
        with _held(work):
            work.attempt.steps.filter(ended_at=None).update(ended_at=now(), failed=True)
            work.deployment.move(State.FAILED, reason=reason, detail=detail)
    except Conflict as meanwhile:
        log.info("deployment=%s not failed: %s", work.deployment.pk, meanwhile)
        return False
    return True


def _told(failure: Exception) -> tuple[str, str]:
    """Reason and detail, in characters that the database takes: a model's output may hold any."""
    if isinstance(failure, StudioError):
        reason, detail = failure.message, failure.detail
    elif isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"{failure.strerror}. Make room on the disk of STUDIO_HOME, then try again."
        detail = "".join(traceback.format_exception(failure))
    else:
        reason = f"Studio could not do this step: {failure!r}"
        detail = "".join(traceback.format_exception(failure))
    return _storable(reason), _storable(detail)


def _storable(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()


def _begin(work: Work) -> None:
    work.say(f"attempt {work.attempt.number} of {work.deployment}")
    with _held(work):
        engine().stop(work.deployment)  # what a failed attempt may still have running
        _enter(work, State.RESOLVING, Done("", {"reason": "", "detail": ""}))


def _resolve(work: Work) -> None:
    _enter(work, State.FETCHING, steps.resolve(work))


def _fetch(work: Work) -> None:
    _enter(work, State.BUILDING, steps.fetch(work))


def _build(work: Work) -> None:
    _enter(work, State.STARTING, steps.build(work))


def _start(work: Work) -> None:
    further = work.deployment.state == State.LIVE
    work.say(logs.FURTHER if further else logs.STARTING)
    with _held(work):
        engine().start(work.attempt)


def _probe(work: Work) -> None:
    work.say("the replica has started and loads the model")
    _enter(work, State.PROBING, Done("", {}))


def _enter_try(work: Work) -> None:
    work.say("the replica is ready")
    _enter(work, State.TRYING, Done("ready", {}))


def _try(work: Work) -> None:
    ready = [replica for replica in engine().seen(work.attempt) if replica.ready]
    if not ready:
        raise StateConflict("the replica has ended meanwhile")
    _go_live(work, steps.try_example(work, ready[0].address))
    work.say("live")


@transaction.atomic
def _go_live(work: Work, done: Done) -> None:
    """Live, and with all of the endpoint's traffic if no other deployment has any. Raises Cancelled."""
    endpoint = Endpoint.objects.locked().get(pk=work.deployment.endpoint_id)
    with _held(work) as wanted:
        if wanted != Wanted.LIVE:
            raise Cancelled("The deployment is no longer wanted.")
        _enter(work, State.LIVE, done)
        if not endpoint.deployments.filter(traffic__gt=0).exists():
            Deployment.objects.filter(pk=work.deployment.pk).update(traffic=100)
        notify(ROUTES)


def _fail_start(work: Work) -> None:
    raise _ended(work)


def _ended(work: Work) -> ReplicaEnded:
    replica = engine().seen(work.attempt)[-1]
    said = engine().last_words(work.attempt)
    last = said.rstrip().rpartition("\n")[2]
    own_words = f" {last}" if _AN_ERROR.match(last) else ""  # of the traceback
    return ReplicaEnded(f"The model did not load: {replica.reason}{own_words}", detail=said)


def _fail_slow(work: Work) -> None:
    minutes = LOADING_PATIENCE.seconds // 60
    raise ReplicaEnded(
        f"The model was not ready after {minutes} minutes. Its log says how far it came: "
        "mend what holds it up and log it again, or try again.",
        detail=engine().last_words(work.attempt),
    )


def _release(work: Work) -> None:
    with _held(work):
        engine().stop(work.deployment)


def _trim(work: Work) -> None:
    work.say(f"ending replicas, {work.deployment.replicas_wanted} shall run")
    with _held(work):
        engine().trim(work.deployment, work.deployment.replicas_wanted)


def _retire(work: Work) -> None:
    needed = observe(work.deployment, work.attempt).standing_in
    go_on = f", {needed} of them go on" if needed else ""
    work.say(f"ending outdated replicas{go_on}")
    with _held(work):
        engine().retire(work.deployment, needed)


def _stop(work: Work) -> None:
    work.say("stopping")
    with _held(work) as wanted:
        # The step that it was at has come to nothing: it is not done, and it has not failed.
        work.attempt.steps.filter(ended_at=None).delete()
        share = {"traffic": 0} if wanted == Wanted.GONE else {}
        work.deployment.move(State.STOPPING, reason="", detail="", **share)
        engine().stop(work.deployment)


def _rest(work: Work) -> None:
    with _held(work):
        work.deployment.move(State.STOPPED)
    work.say("stopped")


def _queue(work: Work) -> None:
    with _held(work):
        work.deployment.queue_again()


def _remove(work: Work) -> None:
    """Delete the row last: whatever is interrupted before is done again."""
    steps.remove_files(work)
    logs.remove(work.deployment)
    with transaction.atomic():
        # Two that remove an endpoint's last deployments would each still see the other's.
        Endpoint.objects.locked().filter(pk=work.deployment.endpoint_id).first()
        with _held(work):
            work.deployment.delete()
        Endpoint.objects.remove_finished()
        notify(ROUTES)


DOING: dict[Action, Callable[[Work], None]] = {
    Action.BEGIN: _begin,
    Action.RESOLVE: _resolve,
    Action.FETCH: _fetch,
    Action.BUILD: _build,
    Action.START: _start,
    Action.PROBE: _probe,
    Action.ENTER_TRY: _enter_try,
    Action.TRY: _try,
    Action.FAIL_START: _fail_start,
    Action.FAIL_SLOW: _fail_slow,
    Action.TRIM: _trim,
    Action.RETIRE: _retire,
    Action.RELEASE: _release,
    Action.STOP: _stop,
    Action.REST: _rest,
    Action.QUEUE: _queue,
    Action.REMOVE: _remove,
}
