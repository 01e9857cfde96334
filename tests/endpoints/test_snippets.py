"""What the pages give a program to run, and how they tell what came back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from endpoints import examples
from endpoints.models import Endpoint
from studio.lib.text import python_literal, readable_json
from tests.support.pages import page

IRIS = "/endpoints/iris/"
BODIES = [
    {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, True], [None, False]]}},
    {"instances": [{"text": 'say "null", it\'s true \\ \n\t', "n": 2**60}, {"größe ☃": "𝄞"}]},
    {"inputs": {"x": [[0.1, -1e-9]], "null": [], "true": {}}},
    {"instances": [[float("nan"), float("inf"), float("-inf")]]},
    {"instances": ["</script>", "\u2028", "half \ud800 a character"]},
]


@dataclass
class Stub:
    """Stands in for the gateway: answers what it is told to, and remembers what it was sent."""

    status: int = 200
    answer: str = '{"predictions": [1]}'
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)


@pytest.fixture
def stub(settings: Settings) -> Iterator[Stub]:
    told = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = f"{self.headers['Content-Type']} {self.headers['Authorization']}"
            told.asked.append((self.path, sent, body))
            answer = told.answer.encode()
            self.send_response(told.status)
            self.send_header("Studio-Deployment", "blue")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    settings.SCORING_ADDRESS = f"127.0.0.1:{server.server_address[1]}"
    settings.SCORING_URL = f"http://{settings.SCORING_ADDRESS}"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


class TestPython:
    @pytest.mark.parametrize("body", BODIES)
    def test_it_runs_as_it_stands_and_sends_the_body(
        self, iris: Endpoint, stub: Stub, body: dict[str, Any]
    ) -> None:
        program = examples.python(iris, readable_json(body))
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"STUDIO_KEY": "the-key", "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "{'predictions': [1]}\n"), done.stderr
        ((path, sent, content),) = stub.asked
        assert path == "/endpoints/iris/invocations"
        assert sent == "application/json Bearer the-key"
        assert repr(json.loads(content)) == repr(body)  # NaN equals nothing, not even itself

    def test_the_body_is_a_dictionary_that_a_person_can_read(self, iris: Endpoint) -> None:
        program = examples.python(iris, readable_json(BODIES[0]))
        assert "json.loads" not in program
        assert program.count("[None, False]\n") == 1
        assert '\n    "dataframe_split": {\n        "columns": ["a", "b"],\n' in program

    @pytest.mark.parametrize("value", [None, True, 1.5, "null", [], {}, [1, None]])
    def test_a_value_alone_is_one_too(self, value: Any) -> None:
        assert eval(python_literal(readable_json(value))) == value  # noqa: S307 - its purpose


@pytest.mark.parametrize("body", BODIES)
def test_the_readable_text_is_json_that_any_page_can_hold(body: dict[str, Any]) -> None:
    text = readable_json(body)
    text.encode()
    assert repr(json.loads(text)) == repr(body)


class TestAnswer:
    def ask(self, client: Client) -> Any:
        return page(client.post(f"{IRIS}test/", {"body": "{}"}, headers={"HX-Request": "true"}))

    def alert(self, shown: Any) -> list[str]:
        return [p.text for p in shown.all("p") if p.attributes.get("role") == "alert"]

    def test_a_prediction_is_shown_as_it_came(
        self, as_alice: Client, iris: Endpoint, stub: Stub
    ) -> None:
        shown = self.ask(as_alice)
        assert shown.texts("pre") == ['{"predictions": [1]}']
        assert self.alert(shown) == []

    def test_a_models_refusal_is_a_sentence_and_its_traceback_has_lines(
        self, as_alice: Client, iris: Endpoint, stub: Stub
    ) -> None:
        trace = 'Traceback (most recent call last):\n  File "m.py", line 3\nRuntimeError: <b>\n'
        told = {"error_code": "BAD_REQUEST", "message": "Failed:\n<b>", "stack_trace": trace}
        stub.status, stub.answer = 400, json.dumps(told)
        shown = self.ask(as_alice)
        assert self.alert(shown) == ["Failed:\n<b>\nRuntimeError: <b>"]
        shown_trace, raw = (pre.text for pre in shown.all("pre"))
        assert shown_trace == trace.strip()
        assert json.loads(raw) == told
        assert [d.attributes.get("open") for d in shown.all("details")] == [None]

    def test_the_gateways_refusal_is_a_sentence(
        self, as_alice: Client, iris: Endpoint, stub: Stub
    ) -> None:
        told = {"code": "not_found", "message": "No deployment is live.", "step": "", "detail": ""}
        stub.status, stub.answer = 404, json.dumps({"error": told})
        shown = self.ask(as_alice)
        assert self.alert(shown) == ["No deployment is live."]
        assert len(shown.all("pre")) == 1

    @pytest.mark.parametrize(
        "answer",
        ["", "plain words", "[1]", "null", "5", '{"error": 5}', '{"message"', "{}", '{"error": {}}']
        + ["[" * 100_000],
    )
    def test_a_refusal_of_another_shape_is_shown_as_it_came(
        self, as_alice: Client, iris: Endpoint, stub: Stub, answer: str
    ) -> None:
        stub.status, stub.answer = 500, answer
        shown = self.ask(as_alice)
        assert "500" in shown.texts("span")
        assert shown.all("pre")[0].text == answer
        assert self.alert(shown) == []


class TestKeysText:
    def test_before_they_are_revealed_both_snippets_read_a_variable(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        shown = page(as_alice.get(f"{IRIS}?tab=consume"))
        assert any("once revealed, it stands in the curl command" in p for p in shown.texts("p"))
        assert all("STUDIO_KEY" in code for code in shown.texts("code")[:2])

    def test_afterwards_only_python_does_and_the_page_says_so(
        self, as_alice: Client, iris: Endpoint
    ) -> None:
        shown = page(as_alice.post(f"{IRIS}keys/"))
        curl, python = shown.texts("code")[:2]
        assert "STUDIO_KEY" not in curl
        assert "STUDIO_KEY" in python
        assert any(
            text.startswith("The curl command holds the primary key now. The Python program still")
            for text in shown.texts("p")
        )
