"""Bodies that are no good request as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.differential.cases import Case
from tests.differential.requests import GOOD

# On each route; the others only where a reader has to be tried once, which all routes share.
_EVERYWHERE = (
    "the good request", "an empty body", "null", "an empty list", "a string", "a number", "encoded twice",
    "invalid UTF-8 in a value", "cut off", "nested 20,000 deep", "an extension's name",
)  # fmt: skip
_TYPES = (
    "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/json;charset=latin-1", "APPLICATION/JSON", "application/json ; x=y",
    " application/json", "application/vnd.api+json", "application/jsonp", "json",
)  # fmt: skip


def cases_of(route: str, *, thorough: bool) -> Iterator[Case]:
    good = json.dumps(GOOD[route]).encode()
    for name, body in _bodies(good).items():
        if thorough or name in _EVERYWHERE:
            yield Case(name, route, body)
    for kind in (
        None,
        "text/plain",
        "application/json; charset=utf-8",
        *(_TYPES if thorough else ()),
    ):
        yield Case(f"content type {kind!r}", route, good, content_type=kind)
    yield Case("no content type and no body", route, b"", content_type=None)


def _bodies(good: bytes) -> dict[str, bytes]:
    text = good.decode()
    return {
        "the good request": good,
        "an empty body": b"",
        "white space": b" \n\t ",
        "null": b"null",
        "an empty list": b"[]",
        "a list with the request": b"[" + good + b"]",
        "an empty object": b"{}",
        "a string": b'"text"',
        "an empty string": b'""',
        "a number": b"1",
        "a fraction": b"1.5",
        "true": b"true",
        "false": b"false",
        "NaN": b"NaN",
        "encoded twice": json.dumps(text).encode(),
        "encoded three times": json.dumps(json.dumps(text)).encode(),
        "null in a string": b'"null"',
        "a list in a string": b'"[]"',
        "a number in a string": b'"1"',
        "white space around": b"\n " + good + b" \n",
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without its mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "invalid UTF-8 in a value": good.replace(b"}", b', "more": "\xff\xfe"}', 1),
        "invalid UTF-8 after it": good + b"\xff",
        "an overlong encoding": good.replace(b"}", b', "more": "\xc0\xaf"}', 1),
        "an encoded surrogate": good.replace(b"}", b', "more": "\xed\xa0\x80"}', 1),
        "cut off": good[:-1],
        "cut off in a string": good[: len(good) // 2],
        "something after it": good + b"x",
        "a second object after it": good + good,
        "a comma at the end": good[:-1] + b",}",
        "single quotes": text.replace('"', "'").encode(),
        "a comment": b"/* */" + good,
        "a raw control character": good.replace(b"{", b'{"more": "\x01", ', 1),
        "a raw line break in a string": good.replace(b"{", b'{"more": "a\nb", ', 1),
        "a bad escape": good.replace(b"{", b'{"more": "\\x", ', 1),
        "unknown fields": good.replace(b"{", b'{"more": {"a": [1, null]}, "@type": "x", ', 1),
        "an empty key": good.replace(b"{", b'{"": 1, ', 1),
        "an extension's name": good.replace(b"{", b'{"[a.b]": 1, ', 1),
        "a key twice, the last is good": _before(good),
        "a key twice, the last is null": _after(good),
        "nested 50 deep": _nested(good, 50),
        "nested 900 deep": _nested(good, 900),
        "nested 20,000 deep": _nested(good, 20_000),
        "lists 20,000 deep": b"[" * 20_000 + b"]" * 20_000,
        "open lists 100,000 deep": b"[" * 100_000,
        "an integer of 4,000 digits": good.replace(b"{", b'{"more": ' + b"1" * 4000 + b", ", 1),
        "an integer of 5,000 digits": good.replace(b"{", b'{"more": ' + b"1" * 5000 + b", ", 1),
        "a form": b"run_id=@run@&key=a&value=b",
        "a NUL byte": b"\0",
        "a NUL byte after it": good + b"\0",
    }


def _first(good: bytes) -> str:
    return str(next(iter(json.loads(good))))


def _before(good: bytes) -> bytes:
    return good.replace(b"{", f'{{"{_first(good)}": null, '.encode(), 1)


def _after(good: bytes) -> bytes:
    return good[:-1] + f', "{_first(good)}": null}}'.encode()


def _nested(good: bytes, depth: int) -> bytes:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    return good.replace(b"{", b'{"more": ' + deep + b", ", 1)
