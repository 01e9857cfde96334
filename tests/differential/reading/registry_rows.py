"""Models, versions and prompts that are there to be read, as rows of MLflow's tables, and who may see which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.differential.reading.ids import RUN, UNKNOWN_RUN
from tests.differential.reading.rows import ODD_KEYS, TEXTS, Row

IS_PROMPT = "mlflow.prompt.is_prompt"
STAGED, BARE, GONE, MARKED = "reading-staged", "reading-bare", "reading-gone", "reading-marked"
ODD = (
    "reading 100%", "reading_under", "readingXunder", "reading it's", 'reading "so"', "reading \U0001f600", "reading ключ", "READING-UPPER",
    "reading back\\slash", "reading @ & = ? # +", " reading blank ", "Reading-Staged",
)  # fmt: skip
NUMBERED = tuple(f"reading-{number:02}" for number in range(24))
MODELS = (STAGED, BARE, GONE, MARKED, *ODD, *NUMBERED)
PROMPT = "reading-prompt-0"
# The tag's value: MLflow leaves out a prompt by `true` alone, and takes it for one by `True` as well.
PROMPTS = {
    PROMPT: "true",
    "reading-prompt-1": "true",
    "reading-prompt-2": "True",
    "reading-prompt-3": "false",
    "reading-prompt-4": "",
}
NAMES = (*MODELS, *PROMPTS)
UNKNOWN_NAME = "reading-unknown"
_STAGES = ("None", "Staging", "None", "Production", "Archived", "Deleted_Internal", "Staging")
_COUNTS = {STAGED: 12, BARE: 0, GONE: 2, MARKED: 3}
_RUN_IDS = (RUN, None, "", UNKNOWN_RUN)
_LINKS = (None, "http://runs/1?a='b'", "")
_STATUSES = ("READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION", None)
_COLOURS = ("red", "green", "RED", None, "", "r_d", "r%d")

# What else the cast may do, by their words (tests/differential/cast.py).
GRANTS = {
    "reader": [
        ("registered_model", STAGED, "READ"), ("registered_model", "reading it's", "READ"), ("registered_model", BARE, "MANAGE"),
        ("registered_model", "reading-07", "READ"), ("prompt", "reading-prompt-1", "READ"),
    ],
    "editor": [("registered_model", "*", "EDIT"), ("registered_model_version", "*", "READ")],
    "editor of everything": [("registered_model", "*", "EDIT"), ("prompt", "*", "EDIT")],
    "denied runs": [("registered_model", "*", "READ"), ("prompt", "*", "READ")],
    "denied models": [("registered_model", "*", "READ"), ("prompt", "*", "READ")],
    "denied": [("registered_model", "*", "READ"), ("registered_model", STAGED, "DENY"), ("registered_model", "reading-03", "DENY")],
    "reader of runs": [("registered_model", "*", "READ"), ("prompt", "*", "READ"), ("registered_model_version", "*", "DENY")],
    "editor of runs": [("prompt", "*", "READ")],
    "manager": [("registered_model", "*", "READ"), ("prompt", "*", "MANAGE"), ("prompt_version", "*", "DENY")],
    "denied experiments": [("registered_model", "*", "DENY"), ("registered_model", STAGED, "READ"), ("prompt", PROMPT, "USE")],
    "user": [("registered_model", STAGED, "NO_PERMISSIONS"), ("registered_model_version", "*", "NO_PERMISSIONS"), ("registered_model", "reading-07", "USE")],
    "user of the workspace": [("registered_model", "reading-05", "DENY"), ("registered_model", STAGED, "MANAGE")],
    "manager of the workspace": [("registered_model", STAGED, "DENY"), ("registered_model_version", "*", "DENY"), ("run", "*", "DENY")],
}  # fmt: skip


def models() -> Iterator[Row]:
    for place, name in enumerate(NAMES):
        yield {
            "workspace": "default",
            "name": name,
            "creation_time": (1000 + place // 3, 0, None)[2 if place % 11 == 3 else place % 7 == 6],
            "last_updated_time": None if place % 9 == 4 else 0 if place == 1 else 2000 - place // 4,
            "description": (None, "", TEXTS[place % len(TEXTS)])[min(place % 4, 2)],
        }


def model_tags() -> Iterator[Row]:
    for name, key, value in _model_tags():
        yield {"workspace": "default", "name": name, "key": key, "value": value}


def _model_tags() -> Iterator[tuple[str, str, str | None]]:
    for place, name in enumerate(NAMES):
        yield from ((name, key, value) for key, value in _tags(place).items())
    yield from ((name, IS_PROMPT, value) for name, value in PROMPTS.items())


def _tags(place: int) -> dict[str, str | None]:
    found: dict[str, str | None] = {"text": TEXTS[place % len(TEXTS)]} if place % 5 else {}
    if place % 8 < len(_COLOURS):
        found["colour"] = _COLOURS[place % 8]
    return found | (dict.fromkeys(ODD_KEYS, f"odd {place % 2}") if place % 3 == 0 else {})


def numbers() -> Iterator[tuple[str, int, int]]:
    """The name of each version's model, its number, and its place among all."""
    place = 0
    for which, name in enumerate(NAMES):
        for number in range(1, 1 + _COUNTS.get(name, which % 5)):
            yield name, number, place
            place += 1


def versions() -> Iterator[Row]:
    for name, number, place in numbers():
        stage = _STAGES[(number + (name != STAGED) * place) % len(_STAGES)]
        yield {
            "workspace": "default",
            "name": name,
            "version": number,
            "creation_time": 1000 + place // 5,
            "last_updated_time": (3000 - place // 3, None, 0)[place % 13 if place % 13 < 3 else 0],
            "description": (None, "", TEXTS[place % len(TEXTS)])[min(place % 5, 2)],
            "user_id": (None, "", "somebody")[place % 3],
            "current_stage": "Deleted_Internal" if name == GONE else stage,
            "source": (None, "", "models:/m-1", f"mlflow-artifacts:/1/{place % 7}/a%_'\\")[place % 4],
            "storage_location": "mlflow-artifacts:/elsewhere",
            "run_id": _RUN_IDS[place % len(_RUN_IDS)],
            "run_link": _LINKS[place % len(_LINKS)],
            "status": _STATUSES[place % len(_STATUSES)],
            "status_message": (None, "", TEXTS[-place % len(TEXTS)])[place % 3],
        }  # fmt: skip


def version_tags() -> Iterator[Row]:
    for name, number, place in numbers():
        found = _tags(place)
        if name in PROMPTS and number != 2:
            found[IS_PROMPT] = PROMPTS[name]
        if name == MARKED:  # its versions are prompts, and it is none
            found[IS_PROMPT] = ("", "True", "false")[number % 3]
        yield from (
            {"workspace": "default", "name": name, "version": number, "key": key, "value": value}
            for key, value in found.items()
        )


def aliases() -> Iterator[Row]:
    for name, number, _place in numbers():
        found = {1: ["first", "champion"], 2: ["ключ", "Zweite"], 3: ["third_3-a"]}.get(number, [])
        yield from (
            {"workspace": "default", "name": name, "alias": alias, "version": number}
            for alias in found
        )
    yield {"workspace": "default", "name": STAGED, "alias": "nowhere", "version": 99}


def tables() -> dict[str, list[dict[str, Any]]]:
    """All rows, in an order in which each finds what it refers to."""
    return {
        "registered_models": list(models()),
        "registered_model_tags": list(model_tags()),
        "registered_model_aliases": list(aliases()),
        "model_versions": list(versions()),
        "model_version_tags": list(version_tags()),
    }
