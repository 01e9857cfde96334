"""What a replica's processes hold and use."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Protocol

import pytest

from endpoints.agent import sampling
from endpoints.agent.sampling import MIB, Sample, Sampler, Subject
from studio.lib.processes import Identity
from tests.support.processes import until

# What a process runs that holds 100 MiB, until it says "here".
IDLE = "print('here', flush=True); time.sleep(600)"
BUSY = "print('here', flush=True)\nwhile True: pass"
FORKED = f"import os\nif os.fork(): time.sleep(600)\n{IDLE}"
FORKED_AWAY = f"import os\nif os.fork(): time.sleep(600)\nos.setsid()\n{IDLE}"
HAS_FORKED = f"""
import os
if not os.fork():
    while time.process_time() < 0.5: pass
    os._exit(0)
os.wait()
{IDLE}
"""


class Start(Protocol):
    def __call__(self, code: str = IDLE) -> Identity: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """A Python in a session of its own, which holds 100 MiB."""
    made: list[subprocess.Popen[bytes]] = []

    def run(code: str = IDLE) -> Identity:
        command = [sys.executable, "-S", "-c", f"import time; held = b'x' * {100 * MIB}\n{code}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        made.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        found = Identity.of(process.pid)
        assert found is not None
        return found

    yield run
    for process in made:
        for member in sampling.members(Identity(process.pid, 0)):
            member.kill()
        process.communicate()


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    made = Sampler()
    yield made
    made.close()


def subject(identity: Identity, mib: int = 1000, *, loading: bool = False) -> Subject:
    return Subject(identity, mib * MIB, loading)


def next_of(sampler: Sampler, last: Sample | None = None) -> Sample:
    def look() -> Sample | None:
        found = sampler.latest(1)
        return found if found != last else None

    return until(look, "a sample")


def in_mib(sample: Sample) -> int:
    return sample.memory // MIB


class TestMemory:
    def test_it_is_what_the_process_holds(self, start: Start, sampler: Sampler) -> None:
        sampler.follow({1: subject(start())})
        assert 100 <= in_mib(next_of(sampler)) < 125

    def test_pages_that_processes_share_count_once(self, start: Start, sampler: Sampler) -> None:
        sampler.follow({1: subject(start(FORKED))})
        assert 100 <= in_mib(next_of(sampler)) < 125

    def test_pages_that_are_shared_with_others_count_in_part(
        self, start: Start, sampler: Sampler
    ) -> None:
        """As with replicas that a template has forked: each leads a group of its own."""
        alone = start(FORKED_AWAY)
        (forked,) = (found for found in sampling.members(alone) if found != alone)
        sampler.follow({1: subject(forked)})
        assert 50 <= in_mib(next_of(sampler)) < 75

    def test_a_process_that_is_gone_or_not_waited_for_holds_nothing(self) -> None:
        with subprocess.Popen(["true"]) as process:
            until(lambda: Identity.of(process.pid) is None, "a zombie")
            assert sampling.memory_of(process.pid) == 0
        assert sampling.memory_of(process.pid) == 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_what_the_kernel_keeps_from_us_is_told_by_what_it_shows(self) -> None:
        """As root without CAP_SYS_PTRACE looks at a replica that runs as somebody else."""
        asking = (
            "import os; from endpoints.agent import sampling; p = os.getppid(); os.setuid(65534); "
        )
        asking += "print(sampling.memory_of(p), open(f'/proc/{p}/statm').read().split()[1])"
        asked = [sys.executable, "-c", asking]
        told = subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout.split()
        assert int(told[0]) == pytest.approx(int(told[1]) * os.sysconf("SC_PAGE_SIZE"), rel=0.2)


class TestProcessor:
    def test_one_that_is_busy_and_one_that_is_not(self, start: Start, sampler: Sampler) -> None:
        busy = start(BUSY)
        sampler.follow({1: subject(busy, loading=True), 2: subject(start(), loading=True)})
        first = next_of(sampler)
        assert first.cpu is None
        second = next_of(sampler, first)
        assert second.cpu is not None
        assert second.cpu > 10  # of a machine that has other things to do
        calm = sampler.latest(2)
        assert calm is not None
        assert calm.cpu == pytest.approx(0, abs=4)

    def test_what_children_have_used_who_have_ended_counts(
        self, start: Start, sampler: Sampler
    ) -> None:
        sampler.follow({1: subject(start(HAS_FORKED))})
        assert next_of(sampler).used >= 0.45


class TestTime:
    def test_one_that_loads_or_is_near_its_limit_is_sampled_more_often(
        self, start: Start, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sampling, "CALM", 600)
        monkeypatch.setattr(sampling, "HURRIED", 0.05)
        process = start()
        sampler.follow({1: subject(process)})
        first = next_of(sampler)
        sampler.follow({1: subject(process, loading=True)})
        next_of(sampler, first)
        sampler.follow({1: subject(process)})
        calm = sampler.latest(1)
        sampler.follow({1: subject(process, 120)})
        next_of(sampler, calm)

    def test_it_takes_a_small_share_of_a_core_however_large_a_process_is(
        self, start: Start, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[float] = []

        def slow(pid: int) -> int:
            taken.append(time.monotonic())
            until_then = time.thread_time() + 0.02
            while time.thread_time() < until_then:
                pass
            return 1

        monkeypatch.setattr(sampling, "memory_of", slow)
        monkeypatch.setattr(sampling, "HURRIED", 0.01)
        sampler.follow({1: subject(start(), loading=True)})
        until(lambda: len(taken) > 2, "three samples")
        assert taken[2] - taken[0] >= 2 * 0.02 / 0.05

    def test_who_waits_is_woken_by_one_that_is_over_its_limit(
        self, start: Start, sampler: Sampler
    ) -> None:
        process = start()
        sampler.follow({1: subject(process, 200)})
        assert not select.select([sampler.woken], [], [], 0)[0]
        assert in_mib(next_of(sampler)) < 200
        assert not select.select([sampler.woken], [], [], 0)[0]
        sampler.follow({1: subject(process, 64)})
        assert select.select([sampler.woken], [], [], 10)[0]
        sampler.follow({1: subject(process, 200)})
        assert not select.select([sampler.woken], [], [], 0)[0]

    def test_of_another_process_there_is_no_sample_yet(
        self, start: Start, sampler: Sampler
    ) -> None:
        sampler.follow({1: subject(start())})
        next_of(sampler)
        sampler.follow({1: subject(Identity(2**22 - 1, 1.0))})
        assert next_of(sampler).memory == 0

    def test_followed_again_after_a_rest_it_is_sampled_again(
        self, start: Start, sampler: Sampler
    ) -> None:
        process = start()
        sampler.follow({1: subject(process)})
        next_of(sampler)
        sampler.follow({})
        until(lambda: sampler._thread is None, "the thread has ended")
        sampler.follow({1: subject(process)})
        assert next_of(sampler).identity == process
