"""What one caller may cost."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    seconds: float = 30.0  # for an answer, from the request's sending to its last byte
    body: int = 64 * _MIB  # bytes of one request
    bodies: int = 512 * _MIB  # bytes of all requests that are held at one moment
