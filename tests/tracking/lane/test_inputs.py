"""runs/log-inputs: each dataset once in its experiment, each input once in its run, whoever else logs it now."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connection

from studio.accounts.models import User
from tests.support.databases import url_of
from tests.support.grants import grant_mlflow
from tests.support.lane import blocked
from tests.support.processes import until
from tests.support.rows import make_experiment, make_run
from tracking import activity
from tracking.models import Dataset, Experiment, Input, InputTag, LoggedModel, Run

ROUTE = "runs/log-inputs"
Log = Callable[..., tuple[int, Any]]
AtOnce = Callable[..., list[Any]]


@pytest.fixture
def experiment() -> Experiment:
    return make_experiment()


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return make_run(experiment)


@pytest.fixture
def log(ask: Callable[..., tuple[int, Any]]) -> Log:
    """Log these as inputs of the run."""

    def send(user: User, run: Run, *datasets: Any, models: Any = ()) -> tuple[int, Any]:
        named = [{"model_id": model} for model in models]
        return ask(user, ROUTE, {"run_id": run.pk, "datasets": list(datasets), "models": named})

    return send


def make_model(run: Run, number: int = 1, **given: Any) -> LoggedModel:
    fields = {
        "model_id": f"m-{number:032}",
        "experiment": run.experiment,
        "name": "model",
        "artifact_location": "mlflow-artifacts:/1",
        "creation_timestamp_ms": 1,
        "last_updated_timestamp_ms": 1,
        "status": 2,
        "lifecycle_stage": "active",
    }
    return LoggedModel.objects.create(**fields | given)


def dataset(
    name: str = "iris", digest: str = "1", tags: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    given = [{"key": key, "value": value} for key, value in (tags or {}).items()]
    fields = {"name": name, "digest": digest, "source_type": "local", "source": '{"uri": "a"}'}
    return {"dataset": fields | more, "tags": given}


def datasets_of(run: Run) -> list[tuple[Dataset, dict[str, str]]]:
    """The run's, by name and digest, with the tags of each input."""
    found = []
    for each in Input.objects.filter(
        source_type="DATASET", destination_type="RUN", destination_id=run.pk
    ):
        tags = InputTag.objects.filter(input_uuid=each.input_uuid).values_list("name", "value")
        found.append((Dataset.objects.get(dataset_uuid=each.source_id), dict(tags)))
    return sorted(found, key=lambda pair: (pair[0].name, pair[0].digest))


def models_of(run: Run) -> list[str]:
    inputs = Input.objects.filter(
        source_type="RUN_INPUT", source_id=run.pk, destination_type="MODEL_INPUT"
    )
    return sorted(inputs.values_list("destination_id", flat=True))


def stored() -> tuple[int, int, int]:
    return Dataset.objects.count(), Input.objects.count(), InputTag.objects.count()


def test_datasets_and_models_are_stored_as_the_runs_inputs(log: Log, alice: User, run: Run) -> None:
    told = log(
        alice,
        run,
        dataset("b", schema='{"a": 1}', profile="null"),
        dataset("a", tags={"context": "training", "note": 'a "word", {b}'}),
        models=["m-1", "m-2", "m-1"],
    )
    assert told == (200, {})
    [(first, tags), (second, none)] = datasets_of(run)
    assert (first.name, first.digest, first.dataset_source_type) == ("a", "1", "local")
    assert first.dataset_source == '{"uri": "a"}'
    assert (first.dataset_schema, first.dataset_profile) == (None, None)
    assert (second.dataset_schema, second.dataset_profile) == ('{"a": 1}', "null")
    assert (tags, none) == ({"context": "training", "note": 'a "word", {b}'}, {})
    assert first.experiment_id == second.experiment_id == run.experiment_id
    assert models_of(run) == ["m-1", "m-2"]
    names = {*Input.objects.values_list("input_uuid", flat=True), first.dataset_uuid}
    assert all(len(name) == 32 and int(name, 16) for name in names)
    assert set(Input.objects.values_list("step", flat=True)) == {0}


def test_what_is_known_stays_as_it_is(log: Log, alice: User, run: Run) -> None:
    log(alice, run, dataset(tags={"context": "training"}), models=["m-1"])
    before = [[*model.objects.order_by("pk").values()] for model in (Dataset, Input, InputTag)]
    again = dataset(tags={"context": "test", "more": "b"}, source="another", profile="p")
    assert log(alice, run, again, models=["m-1"]) == (200, {})
    assert before == [
        [*model.objects.order_by("pk").values()] for model in (Dataset, Input, InputTag)
    ]


def test_a_dataset_is_its_experiments_and_an_input_its_runs(
    log: Log, alice: User, experiment: Experiment, run: Run
) -> None:
    sister, stranger = make_run(experiment), make_run(make_experiment())
    for each in (run, sister, stranger):
        assert log(alice, each, dataset(), dataset(digest="2")) == (200, {})
    assert stored() == (4, 6, 0)
    assert datasets_of(run) == datasets_of(sister)
    assert {found.experiment_id for found, _ in datasets_of(stranger)} == {stranger.experiment_id}


def test_of_one_dataset_twice_the_first_counts(log: Log, alice: User, run: Run) -> None:
    first = dataset(tags={"a": "1"}, source="first")
    assert log(alice, run, first, dataset(tags={"b": "2"}, source="second")) == (200, {})
    [(found, tags)] = datasets_of(run)
    assert (found.dataset_source, tags) == ("first", {"a": "1"})


def test_known_and_new_datasets_come_together(
    log: Log, alice: User, experiment: Experiment, run: Run
) -> None:
    sister = make_run(experiment)
    log(alice, run, dataset("b"), dataset("d"))
    told = log(alice, sister, *(dataset(name, tags={"n": name}) for name in "edcba"))
    assert told == (200, {})
    assert [(found.name, tags) for found, tags in datasets_of(sister)] == [
        (name, {"n": name}) for name in "abcde"
    ]
    assert stored() == (5, 7, 5)


def test_nothing_at_all_may_be_logged(log: Log, alice: User, run: Run) -> None:
    assert log(alice, run) == (200, {})
    assert stored() == (0, 0, 0)


def test_an_empty_dataset_and_an_unknown_model_are_stored_as_mlflow_does(
    log: Log, alice: User, run: Run
) -> None:
    assert log(alice, run, {}, models=["", "nowhere"]) == (200, {})
    [(found, _)] = datasets_of(run)
    assert (found.name, found.digest, found.dataset_source) == ("", "", "")
    assert models_of(run) == ["", "nowhere"]


def test_many_runs_that_log_the_same_new_datasets_at_once_share_them(
    log: Log, alice: User, experiment: Experiment, run: Run, at_once: AtOnce
) -> None:
    runs = [run, *(make_run(experiment) for _ in range(19))]
    orders = ["abc", "cba", "bca", "cab"]
    told = at_once(
        *(
            partial(log, alice, each, *(dataset(name, tags={"a": "b"}) for name in orders[n % 4]))
            for n, each in enumerate(runs)
        )
    )
    assert told == [(200, {})] * 20
    assert stored() == (3, 60, 60)
    assert all([found.name for found, _ in datasets_of(each)] == ["a", "b", "c"] for each in runs)


def test_a_dataset_that_another_is_just_storing_is_waited_for_and_taken(
    log: Log, alice: User, run: Run, at_once: AtOnce
) -> None:
    def store_slowly() -> None:
        url = url_of(str(connection.settings_dict["NAME"]))
        with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as wire:
            first.execute(
                "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
                " dataset_source) VALUES ('of the first', %s, 'iris', '1', 'local', '{}')",
                [run.experiment_id],
            )
            begun.set()
            until(lambda: blocked(wire), "the second waits")

    def log_after() -> tuple[int, Any]:
        assert begun.wait(20)
        return log(alice, run, dataset(tags={"a": "b"}))

    begun = threading.Event()
    assert at_once(store_slowly, log_after) == [None, (200, {})]
    [(found, tags)] = datasets_of(run)
    assert (found.dataset_uuid, found.dataset_source, tags) == ("of the first", "{}", {"a": "b"})


def test_of_many_that_log_the_same_for_one_run_one_is_kept(
    log: Log, alice: User, run: Run, at_once: AtOnce
) -> None:
    told = at_once(
        *(
            partial(
                log, alice, run, dataset(tags={"by": str(n)}), models=["m-1", "m-2"][:: (-1) ** n]
            )
            for n in range(20)
        )
    )
    assert told == [(200, {})] * 20
    assert stored() == (1, 3, 1)


@pytest.mark.parametrize("word", ["READ", "USE", "DENY", ""])
def test_who_may_not_change_the_run_is_told_so_and_nothing_else(
    log: Log, ask: Callable[..., tuple[int, Any]], bob: User, run: Run, word: str
) -> None:
    if word:
        grant_mlflow(bob, "experiment", run.experiment_id, word)
    denied = (403, "Permission denied")
    assert log(bob, run, dataset()) == denied
    assert ask(bob, ROUTE, {"run_id": run.pk, "datasets": "x"}) == denied
    assert ask(bob, ROUTE, {"run_id": "0" * 32}) == denied
    assert stored() == (0, 0, 0)


def test_a_model_takes_edit_on_its_own_experiment(log: Log, bob: User, run: Run) -> None:
    grant_mlflow(bob, "experiment", run.experiment_id, "EDIT")
    own, deleted = make_model(run), make_model(run, 2, lifecycle_stage="deleted")
    foreign = make_model(make_run(make_experiment()), 3)
    for model in (deleted.pk, foreign.pk, "nowhere"):
        assert log(bob, run, dataset(), models=[own.pk, model]) == (403, "Permission denied")
    assert stored() == (0, 0, 0)
    assert log(bob, run, dataset(), models=[own.pk, ""]) == (200, {})
    assert models_of(run) == ["", own.pk]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (dataset("x" * 501), "'name' exceeds the maximum length of 500"),
        (dataset(digest="x" * 37), "'digest' exceeds the maximum length of 36"),
        (dataset(tags={"x" * 256: "a"}), "'key' exceeds the maximum length of 255"),
        (dataset(tags={"a": "x" * 501}), "'value' exceeds the maximum length of 500"),
        (dataset(source=1), "cannot be read"),
        ({"dataset": 1}, "cannot be read"),
        ({"dataset": {"source_type": "a", "sourceType": "a"}}, "both 'source_type' and"),
    ],
)
def test_bad_datasets_are_refused(
    log: Log, alice: User, run: Run, given: dict[str, Any], told: str
) -> None:
    status, answer = log(alice, run, dataset("good"), given)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert told in answer["message"]
    assert stored() == (0, 0, 0)


@pytest.mark.parametrize(
    "given",
    [
        {"datasets": [dataset(source_type="x" * 37)]},
        {"datasets": [dataset("a\0b")]},
        {"datasets": [dataset(tags={"a": "a\0b"})]},
        {"models": [{"model_id": "x" * 37}]},
        {"models": [{"model_id": "a\0b"}]},
        {
            "datasets": [
                dataset() | {"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}
            ]
        },
    ],
)
def test_what_the_database_cannot_hold_is_refused_in_words_and_as_a_whole(
    ask: Callable[..., tuple[int, Any]], alice: User, run: Run, given: dict[str, Any]
) -> None:
    good = {"datasets": [dataset("good"), *given.pop("datasets", [])]}
    status, answer = ask(alice, ROUTE, {"run_id": run.pk, **good, **given})
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert not any(sign in json.dumps(answer) for sign in ("INSERT", "psycopg", "_pk", "x" * 37))
    assert stored() == (0, 0, 0)


def test_a_run_that_is_deleted_or_none_takes_nothing(log: Log, alice: User, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lifecycle_stage="deleted")
    status, answer = log(alice, run, dataset())
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer["message"] == (
        f"The run {run.pk} must be in the 'active' state. Current state is deleted."
    )
    status, answer = log(alice, Run(pk="0" * 32), dataset())
    assert (status, answer["message"]) == (404, f"Run with id={'0' * 32} not found")
    status, answer = log(alice, Run(pk="a/b"), dataset())
    assert (status, answer["message"]) == (
        400,
        "Invalid value \"a/b\" for parameter 'run_id' supplied.",
    )
    assert stored() == (0, 0, 0)


def test_the_run_is_noted_as_written_to(
    log: Log, alice: User, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    monkeypatch.setattr(activity, "note", noted.append)
    log(alice, run, dataset("x" * 501))
    assert noted == []
    log(alice, run, dataset())
    assert noted == [run.pk]
