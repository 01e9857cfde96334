"""Around every request of web: its id, a line where it failed or was slow, and words to quote."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from time import sleep

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import ResolverMatch

from studio.health import middleware
from studio.health.middleware import Observed
from studio.http import server_error
from studio.lib import logs, request_ids

View = Callable[[HttpRequest], HttpResponse]


def answer(
    view: View, path: str = "/endpoints/somebodys/?secret=x", **headers: str
) -> HttpResponse:
    request = RequestFactory().get(path, headers=headers)
    request.resolver_match = ResolverMatch(view, (), {}, route="endpoints/<str:name>/")
    made = Observed(view)(request)
    assert isinstance(made, HttpResponse)
    return made


def fine(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request_ids.current())


def test_the_id_is_known_while_the_view_works_and_is_told_to_who_asked() -> None:
    made = answer(fine, **{"X-Request-ID": "mine.1"})
    assert (made.content, made.headers["X-Request-ID"]) == (b"mine.1", "mine.1")
    first, second = answer(fine), answer(fine)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


def test_what_works_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    answer(fine)
    answer(lambda _: HttpResponse(status=404))
    assert caplog.messages == []


def test_what_fails_is_logged_by_its_route(caplog: pytest.LogCaptureFixture) -> None:
    answer(lambda _: HttpResponse(status=503), **{"X-Request-ID": "mine.2"})
    [line] = caplog.messages
    assert line.startswith("status=503 method=GET route=endpoints/<str:name>/ ms=")
    assert line.endswith("request_id=mine.2")


def test_what_is_slow_is_logged_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "SLOW", 0.01)

    def slow(_: HttpRequest) -> HttpResponse:
        sleep(0.02)
        return HttpResponse()

    answer(slow)
    assert caplog.messages[0].startswith("status=200 ")


@pytest.mark.parametrize("path", ["/endpoints/", "/api/v1/endpoints", "/api/2.0/mlflow/runs/get"])
def test_who_meets_an_error_is_told_what_to_quote(path: str) -> None:
    request = RequestFactory().get(path)
    request_ids.begin("quote.me")
    made = server_error(request)
    assert (made.status_code, "quote.me" in made.content.decode()) == (500, True)


@pytest.mark.django_db
def test_every_answer_has_an_id_that_of_a_page_that_is_not_there_too(as_alice: Client) -> None:
    made = as_alice.get("/no-such-page/", headers={"X-Request-ID": "mine.3"})
    assert (made.status_code, made.headers["X-Request-ID"]) == (404, "mine.3")


@pytest.fixture
def kept() -> Iterator[deque[logs.Failure]]:
    """The errors that wait for the health page."""
    logs.failures.clear()
    yield logs.failures
    logs.failures.clear()


def test_who_asks_for_another_host_leaves_no_error(
    client: Client, kept: deque[logs.Failure], capfd: pytest.CaptureFixture[str]
) -> None:
    assert client.get("/livez", headers={"Host": "somebodys.example"}).status_code == 400
    assert list(kept) == []
    assert "Invalid HTTP_HOST" not in capfd.readouterr().err


def test_who_sends_too_many_fields_washes_no_error_out(
    client: Client, kept: deque[logs.Failure]
) -> None:
    made = client.post("/login/", {f"field-{number}": "x" for number in range(1001)})
    assert made.status_code == 400
    assert list(kept) == []
