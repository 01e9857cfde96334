"""How the replicas are that run: what they hold, whether they answer, how long their logs are."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping

from django.utils.timezone import now

from endpoints import logs
from endpoints.agent import pulse, sampling
from endpoints.agent.children import Child
from endpoints.agent.pulse import Pulse
from endpoints.agent.sampling import MIB, Sampler, Subject
from endpoints.lifecycle import LOADING_PATIENCE
from endpoints.models import Replica, State

log = logging.getLogger(__name__)

_NOTE = 2.0  # seconds between writings of what replicas hold
_LOADING = 0.1  # seconds between questions to one that loads
_SOON = 1.0  # seconds between looks at one that does not answer


class Watch:
    """Looks at the replicas that run. It never waits for one; what it finds the agent acts on."""

    def __init__(self) -> None:
        self.sampler = Sampler()
        self.pulses: dict[int, Pulse] = {}
        self._noted_at = 0.0

    def look(
        self, rows: Mapping[int, Replica], children: Mapping[int, Child], loading: set[int]
    ) -> None:
        running = {pk: rows[pk] for pk in rows if pk in children}
        self.sampler.follow(
            {
                pk: Subject(
                    children[pk].identity, replica.deployment.memory_mb * MIB, pk in loading
                )
                for pk, replica in running.items()
            }
        )
        self._feel({pk: children[pk] for pk in running}, loading)
        for replica in running.values():
            _shorten(replica)
        if time.monotonic() - self._noted_at >= _NOTE:
            self._noted_at = time.monotonic()
            self._note(running)

    def cause(self, replica: Replica, *, loading: bool) -> str:
        """Why it must end, for its log and the person who reads it. Empty: it may go on."""
        if told := self.too_much(replica.pk):
            return told
        if loading:
            return _too_slow(replica)
        if self.silence(replica.pk) >= pulse.DEAD:
            return f"it had not answered for {pulse.DEAD:.0f} s."
        return ""

    def too_much(self, pk: int) -> str:
        """That it holds more than the limit at the last look, or nothing."""
        sample, limit = self.sampler.latest(pk), self.sampler.limit(pk)
        if sample is None or sample.memory <= limit:
            return ""
        return (
            f"it held {-(-sample.memory // MIB):,} MiB, more than the limit of {limit // MIB:,} MiB. "
            "Raise memory_mb if the model needs more."
        )

    def silence(self, pk: int) -> float:
        """For how many seconds it has not answered. 0: it answers, or has not been asked."""
        return self.pulses[pk].silence if pk in self.pulses else 0.0

    def well(self, pk: int) -> bool:
        """Whether it answers. One that has not been asked yet is not known to."""
        return pk in self.pulses and self.pulses[pk].well

    def kill(self, child: Child) -> None:
        """End a replica at once, and what it has started, whatever group that is in."""
        others = sampling.members(child.identity)
        child.signal(signal.SIGKILL)
        for process in others:
            process.kill()

    def descriptors(self) -> list[int]:
        """What gets readable when a look is worth while."""
        answers = [one.asking.fileno() for one in self.pulses.values() if one.dull and one.asking]
        return [self.sampler.woken, *answers]

    def patience(self) -> float:
        """Seconds until the next look, at most."""
        return _SOON if any(one.dull for one in self.pulses.values()) else pulse.EVERY

    def close(self) -> None:
        self._feel({}, set())
        self.sampler.close()

    def _feel(self, children: Mapping[int, Child], loading: set[int]) -> None:
        for pk in [pk for pk in self.pulses if pk not in children]:
            self.pulses.pop(pk).close()
        for pk, child in children.items():
            if pk not in self.pulses:
                self.pulses[pk] = Pulse(child.address, child.identity.pid)
            self.pulses[pk].every = _LOADING if pk in loading else pulse.EVERY
            self.pulses[pk].look()

    def _note(self, running: Mapping[int, Replica]) -> None:
        """Write what they hold and use. Pages that show it ask anew, so nobody is told."""
        sampled = []
        for pk, replica in running.items():
            sample = self.sampler.latest(pk)
            if sample is not None:
                replica.memory_bytes, replica.cpu_percent = sample.memory, sample.cpu
                sampled.append(replica)
        Replica.objects.bulk_update(sampled, ["memory_bytes", "cpu_percent"])


def _too_slow(replica: Replica) -> str:
    """Of a deployment that is not live yet, reconcile gives it up, and tells why."""
    live = replica.deployment.state == State.LIVE
    if live and replica.started_at and now() - replica.started_at > LOADING_PATIENCE:
        return f"it had not loaded after {LOADING_PATIENCE.seconds // 60} minutes."
    return ""


def _shorten(replica: Replica) -> None:
    try:
        logs.shorten(logs.of_replica(replica))
    except OSError as failure:
        log.warning("could not shorten the log of replica=%s: %s", replica.pk, failure)
