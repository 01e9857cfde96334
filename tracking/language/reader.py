"""From a filter's text to its tree."""

from __future__ import annotations

from typing import cast

from lark.exceptions import UnexpectedInput

from tracking.language.grammar import Refused, language
from tracking.language.mistakes import Unreadable, explained
from tracking.language.tree import And, Node

MAX_LENGTH = 20_000


def parse(text: str) -> Node:
    """What a filter asks for. Raises Unreadable."""
    if not text:
        return And(())
    if len(text) > MAX_LENGTH:
        raise Unreadable(text, MAX_LENGTH, f"a filter has at most {MAX_LENGTH:,} characters")
    try:
        return _read(text, "filter")
    except Unreadable as mistake:
        told = mistake
    try:  # MLflow needs no AND between its conditions, and takes as many as there are
        return _read(text, "conditions")
    except Unreadable:
        raise told from None


def _read(text: str, start: str) -> Node:
    try:
        return cast("Node", language().parse(text, start))
    except UnexpectedInput as mistake:
        raise explained(text, start, mistake) from None
    except Refused as refused:
        raise Unreadable(text, refused.position, refused.problem, found=refused.found) from None
