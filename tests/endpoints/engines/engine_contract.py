"""What every engine keeps to. A second engine inherits EngineContract and says how its replicas come and go."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from endpoints.engines import Engine, ReplicaSeen
from endpoints.models import Attempt, Deployment, ReplicaState
from studio.accounts.models import User
from tests.support.serving import last_attempt, make_deployment


class EngineContract(ABC):
    @pytest.fixture
    @abstractmethod
    def engine(self) -> Engine:
        """The engine under test."""

    @abstractmethod
    def start_up(self, attempt: Attempt) -> None:
        """Have the attempt's newest replica begin to load."""

    @abstractmethod
    def get_ready(self, attempt: Attempt) -> None:
        """Have the attempt's newest replica answer."""

    @abstractmethod
    def end(self, attempt: Attempt, reason: str, said: str) -> None:
        """Have the attempt's newest replica end, for a reason, after it has printed something."""

    @pytest.fixture
    def deployment(self, alice: User) -> Deployment:
        return make_deployment(alice)

    @pytest.fixture
    def attempt(self, deployment: Deployment) -> Attempt:
        return last_attempt(deployment)

    def newest(self, engine: Engine, attempt: Attempt) -> ReplicaSeen:
        return engine.seen(attempt)[-1]

    def test_nothing_is_there_before_it_is_asked_for(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        assert engine.seen(attempt) == []
        assert engine.last_words(attempt) == ""
        assert engine.present(deployment) == 0
        assert engine.released(deployment)

    def test_asked_for_it_is_present_and_not_yet_started(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        seen = self.newest(engine, attempt)
        assert (seen.state, seen.started, seen.address) == (ReplicaState.STARTING, False, "")
        assert engine.present(deployment) == 1
        assert not engine.released(deployment)

    def test_it_starts_and_then_it_is_ready_at_an_address(
        self, engine: Engine, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        self.start_up(attempt)
        loading = self.newest(engine, attempt)
        assert (loading.state, loading.started) == (ReplicaState.STARTING, True)
        self.get_ready(attempt)
        ready = self.newest(engine, attempt)
        assert (ready.state, ready.started) == (ReplicaState.READY, True)
        assert (ready.ready, ready.wanted, ready.outdated) == (True, True, False)
        assert ready.address

    def test_one_that_ended_is_still_told_of_with_its_last_words(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        self.start_up(attempt)
        self.end(attempt, "it ended with exit code 3.", "ValueError: boom")
        seen = self.newest(engine, attempt)
        assert (seen.state, seen.reason) == (ReplicaState.GONE, "it ended with exit code 3.")
        assert not seen.kept
        assert "ValueError: boom" in engine.last_words(attempt)
        assert engine.present(deployment) == 0
        assert engine.released(deployment)

    def test_the_newest_is_told_last(self, engine: Engine, attempt: Attempt) -> None:
        engine.start(attempt)
        self.start_up(attempt)
        self.end(attempt, "first", "")
        engine.start(attempt)
        states = [seen.state for seen in engine.seen(attempt)]
        assert states == [ReplicaState.GONE, ReplicaState.STARTING]

    def test_asked_to_end_it_is_present_until_it_has(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        self.start_up(attempt)
        self.get_ready(attempt)
        engine.stop(deployment)
        assert engine.present(deployment) == 1
        assert engine.released(deployment)
        self.end(attempt, "", "")
        assert engine.present(deployment) == 0

    def test_the_end_is_for_the_replicas_of_every_attempt(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        second = deployment.attempts.create(number=2)
        engine.start(second)
        assert engine.present(deployment) == 2
        assert len(engine.seen(attempt)) == len(engine.seen(second)) == 1
        engine.stop(deployment)
        assert engine.released(deployment)

    def test_one_that_is_asked_for_after_an_end_stays(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        engine.stop(deployment)
        second = deployment.attempts.create(number=2)
        engine.start(second)
        assert not engine.released(deployment)

    def three(self, engine: Engine, attempt: Attempt) -> None:
        """Two that answer, and a third that loads."""
        for _ in range(2):
            engine.start(attempt)
            self.start_up(attempt)
            self.get_ready(attempt)
        engine.start(attempt)
        self.start_up(attempt)

    def kept(self, engine: Engine, attempt: Attempt) -> list[bool]:
        return [seen.kept for seen in engine.seen(attempt)]

    @pytest.mark.parametrize(
        ("keep", "left"),
        [
            (5, [True, True, True]),
            (3, [True, True, True]),
            (2, [True, True, False]),
            (1, [True, False, False]),
            (0, [False, False, False]),
        ],
    )
    def test_too_many_are_ended_those_that_answer_last_and_of_these_the_oldest(
        self,
        engine: Engine,
        deployment: Deployment,
        attempt: Attempt,
        keep: int,
        left: list[bool],
    ) -> None:
        self.three(engine, attempt)
        engine.trim(deployment, keep)
        assert self.kept(engine, attempt) == left
        engine.trim(deployment, keep)
        assert self.kept(engine, attempt) == left
        assert engine.present(deployment) == 3

    def test_one_that_loads_goes_before_an_older_or_newer_one_that_answers(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.start(attempt)
        engine.start(attempt)
        self.start_up(attempt)
        self.get_ready(attempt)
        engine.trim(deployment, 1)
        assert self.kept(engine, attempt) == [False, True]

    def test_one_that_was_asked_to_end_is_not_counted_again(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        self.three(engine, attempt)
        engine.trim(deployment, 2)
        engine.start(attempt)
        engine.trim(deployment, 3)
        assert self.kept(engine, attempt) == [True, True, False, True]

    def test_outdated_ones_go_on_if_they_answer_and_are_ended_by_number(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        self.three(engine, attempt)
        engine.outdate(deployment)
        seen = engine.seen(attempt)
        assert [(one.ready, one.outdated) for one in seen[:2]] == [(True, True)] * 2
        assert not seen[2].kept
        engine.retire(deployment, 1)
        assert self.kept(engine, attempt) == [True, False, False]
        engine.retire(deployment, 0)
        assert engine.released(deployment)

    def test_fresh_ones_and_outdated_ones_are_counted_apart(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        self.three(engine, attempt)
        engine.outdate(deployment)
        engine.start(attempt)
        engine.trim(deployment, 1)
        assert self.kept(engine, attempt) == [True, True, False, True]
        engine.retire(deployment, 0)
        assert self.kept(engine, attempt) == [False, False, False, True]
        assert not self.newest(engine, attempt).outdated

    def test_an_end_asked_for_twice_or_of_nothing_is_harmless(
        self, engine: Engine, deployment: Deployment, attempt: Attempt
    ) -> None:
        engine.stop(deployment)
        engine.start(attempt)
        engine.stop(deployment)
        engine.stop(deployment)
        assert engine.present(deployment) == 1

    def test_other_deployments_are_left_alone(
        self, engine: Engine, alice: User, deployment: Deployment, attempt: Attempt
    ) -> None:
        other = make_deployment(alice)
        engine.start(attempt)
        engine.start(last_attempt(other))
        engine.outdate(deployment)
        engine.trim(deployment, 0)
        engine.retire(deployment, 0)
        engine.stop(deployment)
        assert not engine.released(other)
        assert engine.present(other) == 1
        (seen,) = engine.seen(last_attempt(other))
        assert (seen.kept, seen.outdated) == (True, False)
