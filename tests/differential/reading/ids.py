"""The names of what is there to be read: they are the same for both lanes, since nothing that is asked changes it."""

from __future__ import annotations

import uuid

# Nine digits: those of twins have ten, as LONG has, and are deleted after each module.
OWN, SECOND, FOREIGN, DELETED, BARE, APART = range(900_000_001, 900_000_007)
LONG = 2_000_000_000
EXPERIMENTS = (OWN, SECOND, FOREIGN, DELETED, BARE, APART, LONG)
UNKNOWN_EXPERIMENT = "899999999"
NAMES = {
    OWN: "reading own",
    SECOND: 'reading "second" 100% it\'s \\ ключ \U0001f600_x',
    FOREIGN: "reading foreign",
    DELETED: "reading deleted",
    BARE: "Reading bare",
    APART: "reading apart",
    LONG: "reading long",
}


def made(kind: str, number: int) -> str:
    """32 digits, the same in each run."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}").hex


# Numbers of runs, by their experiment.
PLACES = {OWN: range(60), SECOND: range(60, 70), FOREIGN: range(70, 76), DELETED: range(76, 79), LONG: range(79, 82), APART: range(82, 84)}  # fmt: skip
RUNS = {number: made("run", number) for place in PLACES.values() for number in place}
RUN, PLAIN_RUN, SECOND_RUN, FOREIGN_RUN, STRANDED_RUN, LONG_RUN = (
    RUNS[number] for number in (0, 1, 60, 70, 77, 79)
)
DELETED_NUMBERS = {number for number in RUNS if number % 7 == 6}
DELETED_RUN = RUNS[6]
NEGATIVE_ZERO_RUN, NOBODYS_RUN = RUNS[82], RUNS[83]  # in APART
UNKNOWN_RUN = "f" * 32
MODEL, SECOND_MODEL, FOREIGN_MODEL = (f"m-{made('model', number)}" for number in range(3))
UNKNOWN_MODEL = f"m-{made('model', 99)}"
