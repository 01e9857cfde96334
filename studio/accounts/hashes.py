"""Hashes of passwords as MLflow stores and checks them, which is as Werkzeug does."""

from __future__ import annotations

import base64
import binascii

# What MLflow stores where Studio keeps the password: no hash of anything (see MlflowUser).
UNUSABLE_HASH = "!"
# What older MLflow gave its first administrator. MLflow itself lets no administrator in with it any more.
MLFLOWS_DEFAULT = "password1234"  # noqa: S105 - known to everybody


def is_hash(stored: str | None) -> bool:
    """Whether there is a password that MLflow would accept for it."""
    return (
        stored is not None and stored.startswith(("scrypt:", "pbkdf2:")) and stored.count("$") == 2
    )


def proves(stored: str | None, password: str) -> bool:
    """Whether MLflow would take the password for the one that was stored."""
    from werkzeug.security import (
        check_password_hash,
    )  # of MLflow's: only who was MLflow's user pays

    try:
        return stored is not None and check_password_hash(stored, password)
    except (
        ValueError
    ):  # a method that this Python has not, numbers that are none, half a surrogate pair
        return False


def for_mlflow(encoded: str) -> str:
    """A hash of Django's as the same hash of Werkzeug's: both write PBKDF2, each in its own way.

    Of another algorithm there is no such thing: then nothing is accepted.
    """
    algorithm, _, rest = encoded.partition("$")
    parts = rest.split("$")
    if algorithm != "pbkdf2_sha256" or len(parts) != 3:
        return UNUSABLE_HASH
    iterations, salt, digest = parts
    try:
        return f"pbkdf2:sha256:{iterations}${salt}${base64.b64decode(digest, validate=True).hex()}"
    except binascii.Error:
        return UNUSABLE_HASH
