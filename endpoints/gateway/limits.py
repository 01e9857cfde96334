"""What one caller may cost."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    # For an answer, from the sending of the request to its last byte; and for each part of a request.
    seconds: float = 30.0
    body: int = 64 * _MIB  # bytes of one request
    bodies: int = 512 * _MIB  # bytes of all requests that are held at one moment
