"""What a page shows of a log: its end, marked where it failed, to read on from, and the whole as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import Client

from endpoints import attempt_logs, logs
from endpoints.attempt_logs import MOST, marked
from endpoints.models import ENDPOINT, AttemptStep, Deployment, Endpoint, ReplicaState, State
from studio.accounts.models import User
from tests.support.grants import grant_studio
from tests.support.pages import Page, page
from tests.support.serving import last_attempt, make_deployment, make_endpoint, make_replica

IRIS = "/endpoints/iris/"
LOG = f"{IRIS}deployments/blue/log/"


@pytest.fixture
def blue(alice: User, iris: Endpoint) -> Deployment:
    return make_deployment(alice, iris, state=State.LIVE)


def fill(deployment: Deployment, lines: int, width: int = 0) -> None:
    path = logs.of_attempt(last_attempt(deployment))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"00:00:00 line {n}{'.' * width}\n" for n in range(lines)))


def shown_log(client: Client, **query: Any) -> tuple[Page, Any]:
    shown = page(client.get(IRIS, {"tab": "logs"} | query))
    (log,) = (e for e in shown.all("pre") if e.attributes.get("class") == "log")
    return shown, log


def marks(lines: list[str], *, failed: bool = False) -> list[str]:
    return [line.mark + ("!" if line.is_error else "") for line in marked(lines, failed=failed)]


class TestMarks:
    def test_what_failed_and_what_is_warned_of(self) -> None:
        lines = [
            "09:00:00 resolving",
            "09:00:01 WARNING: no Python 3.9",
            "09:00:02 FAILED: no",
            "x",
        ]
        assert marks(lines) == ["", "warn", "bad", ""]
        assert marks(lines, failed=True) == ["", "warn", "bad!", ""]

    @pytest.mark.parametrize("before", ["", "09:00:00   ", "09:00:00   | "])
    def test_the_last_line_of_a_traceback(self, before: str) -> None:
        told = [
            "Traceback (most recent call last):",
            '  File "a.py", line 1',
            "    x()",
            "",
            "KeyError: 1",
        ]
        lines = [f"{before}{line}" for line in told] + ["09:00:01 and on it goes", "plain"]
        assert marks(lines, failed=True) == ["", "", "", "", "bad!", "", ""]

    def test_of_two_that_are_chained_each_has_its_end(self) -> None:
        one = ["Traceback (most recent call last):", "  File", "KeyError: 1", ""]
        between = ["During handling of the above exception, another exception occurred:", ""]
        two = ["Traceback (most recent call last):", "  File", "ValueError: 2"]
        assert marks(one + between + two, failed=True) == [
            "",
            "",
            "bad",
            "",
            "",
            "",
            "",
            "",
            "bad!",
        ]

    def test_the_last_that_failed_is_the_error_though_a_traceback_follows(self) -> None:
        lines = ["FAILED: a", "FAILED: b", "Traceback (most recent call last)", "E: x"]
        assert marks(lines, failed=True) == ["bad", "bad!", "", "bad"]

    def test_words_within_a_line_mean_nothing(self) -> None:
        assert (
            marks(["the text FAILED: was found", "no WARNING here", "FAILEDx"], failed=True)
            == [""] * 3
        )


class TestPage:
    def test_a_failure_can_be_linked_to(
        self, as_alice: Client, alice: User, iris: Endpoint
    ) -> None:
        red = make_deployment(alice, iris, "red", state=State.FAILED)
        AttemptStep.objects.create(attempt=last_attempt(red), name=State.PROBING, failed=True)
        for line in ("loading", "FAILED: It did not load.", "released"):
            logs.write(logs.of_attempt(last_attempt(red)), line)
        shown, _ = shown_log(as_alice)
        (error,) = (e for e in shown.elements if e.attributes.get("id") == "error")
        assert error.text.endswith("FAILED: It did not load.\n")
        assert error["class"] == "bad"

    def test_what_is_live_has_no_error_whatever_its_requests_say(
        self, as_alice: Client, blue: Deployment
    ) -> None:
        path = logs.of_replica(make_replica(blue))
        for line in ("Traceback (most recent call last)", "  File", "KeyError: 1"):
            logs.write(path, line)
        shown, log = shown_log(as_alice)
        assert "KeyError: 1" in log.text
        assert "error" not in {e.attributes.get("id") for e in shown.elements}

    def test_of_a_long_log_the_end_is_shown_and_that_it_is(
        self, as_alice: Client, blue: Deployment
    ) -> None:
        fill(blue, MOST + 1)
        shown, log = shown_log(as_alice)
        lines = log.text.splitlines()
        assert (len(lines), lines[0], lines[-1]) == (
            MOST,
            "00:00:00 line 1",
            f"00:00:00 line {MOST}",
        )
        (cut,) = (e for e in shown.all("p") if "data-cut" in e.attributes)
        assert "hidden" not in cut.attributes
        assert shown.link("Download the whole log") == f"{LOG}download/"

    def test_of_long_lines_no_part_of_one_is_shown_and_it_is_read_on_at_the_end(
        self, as_alice: Client, blue: Deployment
    ) -> None:
        fill(blue, 1000, width=1000)
        _, log = shown_log(as_alice)
        lines = log.text.splitlines()
        assert 100 < len(lines) < 300
        assert all(line.startswith("00:00:00 line ") for line in lines)
        logs.write(logs.of_attempt(last_attempt(blue)), "one more")
        told = as_alice.get(log["data-src"], {"after": log["data-after"]}).json()
        assert [line[9:] for line in told["lines"]] == ["one more"]

    def test_a_short_log_is_whole_and_says_nothing(
        self, as_alice: Client, blue: Deployment
    ) -> None:
        fill(blue, MOST)
        shown, log = shown_log(as_alice)
        assert log.text.startswith("00:00:00 line 0\n")
        (cut,) = (e for e in shown.all("p") if "data-cut" in e.attributes)
        assert "hidden" in cut.attributes

    @pytest.mark.parametrize(
        ("state", "over"), [(State.LIVE, False), (State.BUILDING, False), (State.FAILED, True)]
    )
    def test_it_can_be_followed_as_long_as_something_may_come(
        self, as_alice: Client, alice: User, iris: Endpoint, state: State, over: bool
    ) -> None:
        make_deployment(alice, iris, state=state)
        shown, log = shown_log(as_alice)
        assert ("data-over" in log.attributes) is over
        assert any("data-follow" in e.attributes for e in shown.all("button")) is not over
        assert as_alice.get(LOG).json()["over"] is over

    def test_new_lines_come_with_their_marks(self, as_alice: Client, blue: Deployment) -> None:
        for line in ("fine", "FAILED: not fine"):
            logs.write(logs.of_attempt(last_attempt(blue)), line)
        assert as_alice.get(LOG).json()["marks"] == ["", "bad"]


class TestReplica:
    @pytest.fixture
    def two(self, blue: Deployment) -> list[int]:
        logs.write(logs.of_attempt(last_attempt(blue)), "built")
        made = [make_replica(blue), make_replica(blue)]
        for replica in made:
            logs.write(logs.of_replica(replica), f"this is {replica.pk}")
        return [replica.pk for replica in made]

    def test_its_log_alone_can_be_looked_at_and_followed(
        self, as_alice: Client, two: list[int]
    ) -> None:
        shown, everything = shown_log(as_alice)
        assert all(f"this is {pk}" in everything.text for pk in two)
        one = page(as_alice.get(shown.link(f"replica {two[0]}")))
        assert f"Log of blue, replica {two[0]}" in one.texts("h2")
        (log,) = (e for e in one.all("pre") if e.attributes.get("class") == "log")
        assert [line[9:] for line in log.text.splitlines()] == [f"this is {two[0]}"]
        told = as_alice.get(log["data-src"]).json()
        assert [line[9:] for line in told["lines"]] == [f"this is {two[0]}"]

    @pytest.mark.parametrize("asked", ["x", "-1", "9" * 30, "0", "", "1 or 1"])
    def test_one_that_is_not_there_is_the_whole_log(
        self, as_alice: Client, two: list[int], asked: str
    ) -> None:
        assert "built" in shown_log(as_alice, replica=asked)[1].text

    def test_one_of_another_deployment_is_not_shown(
        self, as_alice: Client, alice: User, two: list[int]
    ) -> None:
        other = make_replica(make_deployment(alice, make_endpoint(alice, "theirs")))
        logs.write(logs.of_replica(other), "a secret")
        assert "a secret" not in shown_log(as_alice, replica=str(other.pk))[1].text
        assert b"a secret" not in whole(as_alice, replica=str(other.pk))


def whole(client: Client, **query: Any) -> bytes:
    response = client.get(f"{LOG}download/", query)
    assert response.status_code == 200
    assert isinstance(response, StreamingHttpResponse)
    return b"".join(response)


class TestDownload:
    def test_it_is_the_whole_log_in_order_as_a_file(
        self, as_alice: Client, blue: Deployment
    ) -> None:
        path = logs.of_attempt(last_attempt(blue))
        fill(blue, 30_000)  # more than is read at once
        with path.open("a") as file:
            file.write(f"00:00:01 {logs.STARTING}\n00:00:03 live\n")
        logs.of_replica(make_replica(blue)).write_text("00:00:02 loading ü\n")
        response = as_alice.get(f"{LOG}download/")
        assert response["Content-Type"] == "text/plain; charset=utf-8"
        assert response["Content-Disposition"] == 'attachment; filename="iris-blue-attempt-1.log"'
        lines = whole(as_alice).decode().splitlines()
        assert lines[:30_000] == [f"00:00:00 line {n}" for n in range(30_000)]
        assert [line[9:] for line in lines[30_000:]] == [logs.STARTING, "loading ü", "live"]

    def test_no_more_than_a_page_of_it_is_read_before_it_is_sent(
        self, blue: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(blue, 100_000)
        read = logs.read
        pages: list[int] = []

        def counted(path: Path, after: int = 0) -> logs.Page:
            pages.append(after)
            return read(path, after)

        monkeypatch.setattr(logs, "read", counted)
        lines = attempt_logs.whole(last_attempt(blue))
        next(lines)
        assert len(pages) == 1
        assert sum(1 for _ in lines) == 99_999
        assert len(pages) > 5

    def test_an_earlier_attempts_and_one_replicas_have_names_of_their_own(
        self, as_alice: Client, blue: Deployment
    ) -> None:
        logs.write(logs.of_attempt(last_attempt(blue)), "the first")
        gone = make_replica(blue, ReplicaState.GONE)
        logs.write(logs.of_replica(gone), "the process")
        blue.attempts.create(number=2)
        assert whole(as_alice) == b""
        assert b"the first" in whole(as_alice, attempt="1")
        alone = whole(as_alice, attempt="1", replica=str(gone.pk))
        assert [line[9:] for line in alone.decode().splitlines()] == ["the process"]
        named = as_alice.get(f"{LOG}download/", {"attempt": "1", "replica": str(gone.pk)})
        assert f'"iris-blue-attempt-1-replica-{gone.pk}.log"' in named["Content-Disposition"]

    def test_who_may_read_the_endpoint_may_take_it(
        self, as_bob: Client, bob: User, iris: Endpoint, blue: Deployment
    ) -> None:
        assert as_bob.get(f"{LOG}download/").status_code == 404
        grant_studio(bob, ENDPOINT, iris.pk, "READ")
        assert whole(as_bob) == b""
