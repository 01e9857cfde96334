"""How a deployment came where it is: its attempts, the steps of one of them, and what to do after a failure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.timezone import now

from endpoints.models import STEPS, Attempt, AttemptStep, Deployment, State


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as the page shows it. `mark` is done, now, failed or todo; `seconds` what it took, or takes so far.

    `left` and `width`: where it lies in the attempt's time, in percent.
    """

    label: str
    mark: str
    detail: str = ""
    seconds: float | None = None
    times: str = ""
    left: float = 0
    width: float = 0


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt as the page lists it. `mark` is good, bad, busy or nothing; `seconds` what it took in all."""

    number: int
    started_at: datetime
    outcome: str
    mark: str
    seconds: float | None
    times: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to do next. `does`: retry, deploy (another version) or size."""

    text: str
    does: str


def step_rows(attempt: Attempt, deployment: Deployment, *, is_last: bool = True) -> list[StepRow]:
    """The steps of an attempt in their order, those to come too."""
    known = {step.name: step for step in attempt.steps.all()}
    runs = is_last and deployment.is_on_the_way
    ends = [_end(step) for step in known.values()]
    began = min((step.started_at for step in known.values()), default=now())
    total = (max(ends, default=began) - began).total_seconds() or 1.0
    return [_row(state, known.get(state), runs, began, total) for state in STEPS]


def _row(
    state: State, step: AttemptStep | None, runs: bool, began: datetime, total: float
) -> StepRow:
    if step is None or not (step.ended_at or runs):
        return StepRow(state.label, "todo")
    seconds = max(0.0, (_end(step) - step.started_at).total_seconds())
    return StepRow(
        state.label,
        "failed" if step.failed else "done" if step.ended_at else "now",
        step.detail,
        seconds,
        _times(step.started_at, step.ended_at),
        left=100 * (step.started_at - began).total_seconds() / total,
        width=max(0.6, 100 * seconds / total),  # one that took no time is seen, too
    )


def attempt_rows(attempts: Sequence[Attempt], deployment: Deployment) -> list[AttemptRow]:
    """The attempts, the last one first, from their steps."""
    return [_attempt(one, deployment, is_last=one == attempts[0]) for one in attempts]


def _attempt(attempt: Attempt, deployment: Deployment, *, is_last: bool) -> AttemptRow:
    steps = list(attempt.steps.all())
    outcome, mark = _outcome(steps, deployment, is_last=is_last)
    ended = (
        None
        if mark == "busy"
        else max((step.ended_at or step.started_at for step in steps), default=None)
    )
    until = now() if mark == "busy" else ended
    seconds = (until - attempt.started_at).total_seconds() if until else None
    return AttemptRow(
        attempt.number,
        attempt.started_at,
        outcome,
        mark,
        None if seconds is None else max(0.0, seconds),
        _times(attempt.started_at, ended),
    )


def _outcome(steps: list[AttemptStep], deployment: Deployment, *, is_last: bool) -> tuple[str, str]:
    failed = next((step for step in steps if step.failed), None)
    if failed is not None:
        return f"failed: {failed.get_name_display()}", "bad"
    if is_last and deployment.state == State.FAILED:
        return "failed", "bad"
    if is_last and deployment.is_on_the_way:
        return deployment.get_state_display(), "busy"
    if any(step.name == State.TRYING and step.ended_at for step in steps):
        return "got live", "good"
    return "stopped on its way", ""


# What is known by the words of the reason, and what else by the step: the first that fits is it.
_BY_REASON = (
    (r"has been deleted|have been deleted", "deploy", "This version is gone. Deploy another one."),
    (r"[Nn]o space left|[Dd]isk quota", "retry",
     "Make room on the disk of Studio's machine, then try again."),
    (r"more than the limit|want of memory|MemoryError|bad_alloc", "size",
     "It wants more memory than a replica may hold. Raise the limit, then try again."),
    (r"flavour|from conda|environment files", "deploy",
     "Log the model again as told above, register it, and deploy the new version."),
    (r"[Tt]ry again( when it is back)?\.$", "retry", "This is not the model's doing, and may have passed."),
    (r"not ready after|could not be started", "retry",
     "The log says how far it came. Try again, or deploy a version that loads faster."),
    (r"did not answer|[Cc]onnection|timed out", "retry",
     "Somebody did not answer. See in the log who it was, then try again."),
    (r"Studio could not do this step", "retry",
     "This is not the model's doing. Try again; if it stays so, show the log to an administrator."),
)  # fmt: skip
_BY_STEP = {
    State.FETCHING: ("retry", "See that the model's files can be read, then try again."),
    State.BUILDING: ("deploy", "Correct the model's requirements, log it again, and deploy the new version."),
    State.STARTING: ("deploy", "The log says what its code lacks. Log a corrected model and deploy that version."),
    State.PROBING: ("deploy", "The log says what its code lacks. Log a corrected model and deploy that version."),
    State.TRYING: ("deploy", "Log the model again with an input example that it takes, and deploy that version."),
}  # fmt: skip
_ELSE = ("retry", "Try again.")


def suggestion(step: str, reason: str) -> Suggestion:
    """The one thing to do next, after a failure in this step for this reason."""
    for words, does, text in _BY_REASON:
        if re.search(words, reason):
            return Suggestion(text, does)
    does, text = next((told for state, told in _BY_STEP.items() if state == step), _ELSE)
    return Suggestion(text, does)


def _end(step: AttemptStep) -> datetime:
    return step.ended_at or now()


def _times(began: datetime, ended: datetime | None) -> str:
    """Exactly when, for a tooltip."""
    until = f" to {ended:%H:%M:%S.%f}"[:-3] if ended else ""
    return f"{began:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"{until} UTC"
