"""What is there to be read, as rows of MLflow's tables: the unusual above all, and nothing that has a now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.differential.reading.ids import (
    BARE,
    DELETED,
    DELETED_NUMBERS,
    EXPERIMENTS,
    FOREIGN,
    FOREIGN_MODEL,
    MODEL,
    NAMES,
    NEGATIVE_ZERO_RUN,
    NOBODYS_RUN,
    OWN,
    PLACES,
    RUNS,
    SECOND_MODEL,
    UNKNOWN_MODEL,
    made,
)

Row = dict[str, Any]
TEXTS = (
    "", " ", "plain", "Plain", "100%", "under_score", "underXscore", "back\\slash", "it's", 'say "so"', "new\nline",
    "tab\t", "ключ", "КЛЮЧ", "\U0001f600", "\u202e\u05d0", "e\u0301", "\u00e9", "</script>", "\x01", "x" * 500, "%s",
    "\u2028",
)  # fmt: skip
ODD_KEYS = (
    "a b", "q\"u'o", "tick`", "100%", "back\\slash", "ключ", "\U0001f600", "x/y.z", "Loss", "1st", "new\nline",
)  # fmt: skip
INFINITE = 1.7976931348623157e308  # as MLflow stores it
NAN = None
_LOSSES = (0.5, 0.5, 0.25, 0.0, NAN, INFINITE, -INFINITE)  # and none, for every eighth run
_EXTREMES = {
    "tiny": 5e-324,
    "huge": 1.7e308,
    "third": 1 / 3,
    "whole": 1e16,
    "long": 123456789.12345679,
    "small": 1e-7,
    "odd": 2.0**53 + 2,
    "negative": -1e300,
}
_COLOURS = ("red", "green", "RED", None, "", "r_d", "r%d")  # and none, for every eighth run
_NAMES = ("run {}", None, "", "same", "quo\"te's", "100% _ \\", "ключ \U0001f600", "line\nbreak")
_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_USERS = ("somebody", "u%_\\", "", "ключ")


def experiments() -> Iterator[Row]:
    for place, experiment in enumerate(EXPERIMENTS):
        bare = experiment == BARE
        yield {
            "experiment_id": experiment,
            "name": NAMES[experiment],
            "artifact_location": "" if bare else f"mlflow-artifacts:/{experiment}",
            "lifecycle_stage": "deleted" if experiment == DELETED else "active",
            "creation_time": None if bare else 1000 + place // 2,
            "last_update_time": None if bare else 2000 - place,
        }


def experiment_tags() -> Iterator[Row]:
    for experiment, values in ((OWN, TEXTS), (FOREIGN, TEXTS[:3])):
        for place, value in enumerate(values):
            yield {"experiment_id": experiment, "key": f"text {place}", "value": value}
    for key in ODD_KEYS:
        yield {"experiment_id": OWN, "key": key, "value": "odd"}
    yield {"experiment_id": OWN, "key": "null", "value": None}


def runs() -> Iterator[Row]:
    for experiment, numbers in PLACES.items():
        for number in numbers:
            yield _run(experiment, number)


def _run(experiment: int, number: int) -> Row:
    place = f"mlflow-artifacts:/{experiment}/{RUNS[number]}/artifacts"
    name = _NAMES[number % len(_NAMES)]
    deleted = number in DELETED_NUMBERS
    return {
        "run_uuid": RUNS[number],
        "name": name and name.format(number),
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": None if RUNS[number] == NOBODYS_RUN else _USERS[number % len(_USERS)],
        "status": _STATUSES[number % len(_STATUSES)],
        "start_time": 0 if number == 5 else 1000 + number // 4,
        "end_time": (2000 + number // 3, None, 0)[number % 3],
        "source_version": "",
        "lifecycle_stage": "deleted" if deleted else "active",
        "artifact_uri": {8: None, 9: ""}.get(number, place),
        "experiment_id": experiment,
        "deleted_time": 3000 if deleted else None,
    }


def latest_metrics() -> Iterator[Row]:
    for number, run in RUNS.items():
        found: dict[str, float | None] = {"acc": number % 5 / 7}
        if number % 8 < len(_LOSSES):
            found["loss"] = _LOSSES[number % 8]
        if number % 3 == 0:
            found |= dict.fromkeys(ODD_KEYS, number / 4)
        if number % 20 == 0:
            found |= _EXTREMES
        if run == NEGATIVE_ZERO_RUN:
            found["zero"] = -0.0
        for key, value in found.items():
            yield _point(run, key, value, 1000 + number, -number if number % 2 else 2**62)


def params() -> Iterator[Row]:
    for number, run in RUNS.items():
        found = {"text": TEXTS[number % len(TEXTS)]}
        found |= {"depth": str(number % 6)} if number % 5 != 4 else {}
        found |= {"empty": ""} if number % 4 == 0 else {}
        found |= dict.fromkeys(ODD_KEYS, f"odd {number % 2}") if number % 3 == 0 else {}
        yield from ({"run_uuid": run, "key": key, "value": value} for key, value in found.items())


def tags() -> Iterator[Row]:
    for number, run in RUNS.items():
        name = _NAMES[number % len(_NAMES)]
        found: dict[str, str | None] = {"text": TEXTS[-number % len(TEXTS)], "mlflow.user": "u"}
        if number % 8 < len(_COLOURS):
            found["colour"] = _COLOURS[number % 8]
        if number % 3 == 0:
            found |= dict.fromkeys(ODD_KEYS, f"odd {number % 2}")
            found["mlflow.runName"] = name and name.format(number)
        if number % 3 == 1:
            found["mlflow.runName"] = f"tagged {number}" if number % 2 else ""
        yield from ({"run_uuid": run, "key": key, "value": value} for key, value in found.items())


def metrics() -> Iterator[Row]:
    """Histories: of few points with ties, of more than are sampled, and of many in one step."""
    few = [
        (0.5, 10, 0), (0.25, 10, 0), (0.25, 10, 1), (0.25, 11, 0), (NAN, 12, 2), (INFINITE, 13, 3), (-INFINITE, 14, 4),
        (0.0, 15, 5), (1 / 3, 16, -1), (5e-324, 17, 2**63 - 1), (1e16, 0, -(2**63)), (3.0, 2**62, 0),
    ]  # fmt: skip
    for number, count in {0: 12, 1: 5, 2: 1, 6: 3, 60: 6, 70: 4, 77: 2, 79: 2}.items():
        for value, timestamp, step in few[:count]:
            yield _point(RUNS[number], "loss", value, timestamp, step)
    for number, count in {0: 3200, 1: 900, 60: 2501, 70: 300}.items():
        for place in range(count):
            value = NAN if place % 500 == 3 else place * 37 % 97 / 7
            yield _point(RUNS[number], "many", value, 5000 + place // 3, place * 2 - 100)
    for place in range(3000):
        yield _point(RUNS[0], "flat", place / 3, place, 0)
    for place in range(40):
        yield _point(RUNS[0], "same", (place - 20) / 3, 0, 0)
    for key in ODD_KEYS:
        yield from (_point(RUNS[0], key, place / 3, place, place) for place in range(2))
    yield _point(NEGATIVE_ZERO_RUN, "zero", -0.0, 1, 1)
    for value in (NAN, 0.0, 1.0):  # what comes first of these, only the samples have settled
        yield _point(RUNS[0], "tied", value, 1, 1)


def _point(run: str, key: str, value: float | None, timestamp: int, step: int) -> Row:
    """A row of `metrics` or `latest_metrics`, where NaN is 0 and a mark."""
    return {
        "run_uuid": run,
        "key": key,
        "value": 0.0 if value is NAN else value,
        "timestamp": timestamp,
        "step": step,
        "is_nan": value is NAN,
    }


def datasets() -> Iterator[Row]:
    described = (
        (OWN, "train set", "d1", "s", '{"rows": 1}'),
        (OWN, "ключ \U0001f600 100%", "", None, None),
        (OWN, "under_score", "D1", "", ""),
        (FOREIGN, "train set", "d1", "s", "p"),
    )
    for number, (experiment, name, digest, schema, profile) in enumerate(described):
        yield {
            "dataset_uuid": made("dataset", number),
            "experiment_id": experiment,
            "name": name,
            "digest": digest,
            "dataset_source_type": "local",
            "dataset_source": '{"uri": "it\'s\\n"}',
            "dataset_schema": schema,
            "dataset_profile": profile,
        }


_CONTEXTS: tuple[dict[str, str], ...] = (
    {"mlflow.data.context": "training"},
    {},
    {"mlflow.data.context": "eval's 100%", "other": ""},
)


def uses() -> Iterator[tuple[str, int, int]]:
    """The id of an input, the number of the run, and that of the dataset that it uses."""
    for number in RUNS:
        used = {0: [0, 1, 2], 70: [3]}.get(number, [number % 4] if number % 4 < 3 else [])
        for dataset in used:
            yield made("input", number * 10 + dataset), number, dataset


def input_tags() -> Iterator[Row]:
    for used, _number, dataset in uses():
        for name, value in _CONTEXTS[dataset % len(_CONTEXTS)].items():
            yield {"input_uuid": used, "name": name, "value": value}


def inputs() -> Iterator[Row]:
    for used, number, dataset in uses():
        yield _input(used, ("DATASET", made("dataset", dataset)), ("RUN", RUNS[number]))
    for number, models in {0: [MODEL, FOREIGN_MODEL], 3: [MODEL], 7: [UNKNOWN_MODEL], 70: [FOREIGN_MODEL]}.items():  # fmt: skip
        for place, model in enumerate(models):
            name = made("input of a model", number * 10 + place)
            yield _input(name, ("RUN_INPUT", RUNS[number]), ("MODEL_INPUT", model))
    for number, models in {0: [MODEL, SECOND_MODEL], 4: [SECOND_MODEL], 7: [UNKNOWN_MODEL], 60: [MODEL]}.items():  # fmt: skip
        for place, model in enumerate(models):
            name = made("output", number * 10 + place)
            yield _input(name, ("RUN_OUTPUT", RUNS[number]), ("MODEL_OUTPUT", model), place * 7)


def _input(name: str, source: tuple[str, str], destination: tuple[str, str], step: int = 0) -> Row:
    return {
        "input_uuid": name,
        "source_type": source[0],
        "source_id": source[1],
        "destination_type": destination[0],
        "destination_id": destination[1],
        "step": step,
    }


def logged_models() -> Iterator[Row]:
    for model, experiment in ((MODEL, OWN), (SECOND_MODEL, OWN), (FOREIGN_MODEL, FOREIGN)):
        yield {
            "model_id": model,
            "experiment_id": experiment,
            "name": "m",
            "artifact_location": f"mlflow-artifacts:/{experiment}/models/{model}",
            "creation_timestamp_ms": 1,
            "last_updated_timestamp_ms": 1,
            "status": 2,
            "lifecycle_stage": "active",
        }
