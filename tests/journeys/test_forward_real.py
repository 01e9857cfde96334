"""Files, traces and failures on their way to MLflow's real server and back."""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from studio.mlflow.upstream import MOST
from tests.support.attacker import user_on
from tests.support.live import Studio
from tests.support.processes import until
from tests.support.web import by_hand, chunk

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MB = 1024 * 1024
HALF = b"x" * (2 * MB)


@pytest.fixture(scope="module")
def client(live: Studio, token: str) -> Iterator[httpx.Client]:
    with live.client(token) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(live: Studio) -> Iterator[httpx.Client]:
    with live.client(user_on(live, "forward-stranger")) as client:
        yield client


@pytest.fixture
def place(client: httpx.Client) -> str:
    """The path of a new run's artifacts, below MLflow's proxy."""
    name = {"name": f"forward-{secrets.token_hex(4)}"}
    experiment = client.post(f"{API}/experiments/create", json=name).json()["experiment_id"]
    run = client.post(f"{API}/runs/create", json={"experiment_id": experiment}).json()["run"]
    return f"{experiment}/{run['info']['run_id']}/artifacts"


def process(live: Studio, name: str) -> psutil.Process:
    told = json.loads((live.home / "processes.json").read_text())["processes"]
    (pid,) = [each["pid"] for each in told if each["name"] == name]
    return psutil.Process(pid)


def stored(live: Studio, place: str) -> list[Path]:
    """Every file below, unfinished ones as well."""
    folder = live.home / "artifacts" / place.split("/")[0]
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("flask", [False, True])
@pytest.mark.parametrize("drop", ["fin", "rst"])
def test_an_upload_that_breaks_off_stores_nothing(
    live: Studio, token: str, client: httpx.Client, place: str, known: bool, flask: bool, drop: str
) -> None:
    """`flask`: by a route on which MLflow takes what has come for all there is."""
    route = f"PUT {PROXY}/{place}/half.bin HTTP/1.1"
    if flask:
        run = place.split("/")[1]
        upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=half.bin"
        route = f"POST {upload} HTTP/1.1"
    length = f"Content-Length: {4 * MB}" if known else "Transfer-Encoding: chunked"
    body = HALF if known else chunk(HALF)
    by_hand(live.url, route, f"Authorization: Bearer {token}", length, body=body, drop=drop)
    answer = client.put(f"{PROXY}/{place}/whole.txt", content=b"whole")  # comes after, and is there
    assert answer.status_code == 200
    until(lambda: [path.name for path in stored(live, place)] == ["whole.txt"], "nothing else", 5)


def test_uploads_that_break_off_hold_nobody_up(
    live: Studio, token: str, client: httpx.Client, place: str
) -> None:
    """More at a time than MLflow is given: had they kept their threads, nothing would be left."""
    line = f"PUT {PROXY}/{place}/half.bin HTTP/1.1"
    known = [line, f"Authorization: Bearer {token}", f"Content-Length: {10 * MB}"]
    unknown = [line, f"Authorization: Bearer {token}", "Transfer-Encoding: chunked"]

    def broken(number: int) -> None:
        lines, body = (known, HALF) if number % 2 else (unknown, chunk(HALF))
        with suppress(OSError):  # told to come back later while it was still sending
            by_hand(live.url, *lines, body=body, drop="fin")

    told = len(live.lines)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(broken, range(3 * MOST)))
    started = time.monotonic()
    for path in ("/livez", f"{API}/experiments/get?experiment_id=0", "/api/v1/endpoints"):
        until(lambda: client.get(path).status_code == 200, path, 5)  # noqa: B023 - called at once
    assert time.monotonic() - started < 5
    until(lambda: stored(live, place) == [], "no file of theirs", 5)
    assert not [line for line in live.lines[told:] if "Traceback" in line]


def test_who_has_gone_without_a_word_is_found_out(live: Studio) -> None:
    """By the kernel, which asks an idle connection: else an upload from there would wait for ever."""
    place = urlsplit(live.url)

    def is_asked() -> bool:
        with socket.create_connection((place.hostname, place.port)) as wire:
            wire.sendall(f"GET /livez HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            assert wire.recv(1000)
            ends = [f"{place.port:04X}", f"{wire.getsockname()[1]:04X}"]
            table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        (timer,) = [line[5] for line in table if [end.split(":")[-1] for end in line[1:3]] == ends]
        return timer.startswith("02:")  # the kernel's keep-alive

    for _ in range(
        5
    ):  # of one process of web or the other, each of which may see its first request
        until(is_asked, "the kernel's watch", 5)


def test_a_chunked_upload_arrives_whole(live: Studio, client: httpx.Client, place: str) -> None:
    pieces = [secrets.token_bytes(size) for size in (1, 70_000, 3, 500_000)]
    assert client.put(f"{PROXY}/{place}/a.bin", content=iter(pieces)).status_code == 200
    assert (live.home / "artifacts" / place / "a.bin").read_bytes() == b"".join(pieces)
    nothing: list[bytes] = []
    assert client.put(f"{PROXY}/{place}/empty", content=iter(nothing)).status_code == 200
    assert client.get(f"{PROXY}/{place}/empty").content == b""


@contextmanager
def growth(*processes: psutil.Process) -> Iterator[Callable[[], int]]:
    """How many bytes of memory of their own the hungriest of these has taken more than at the beginning."""
    family = [each for parent in processes for each in (parent, *parent.children(recursive=True))]
    before = {each.pid: each.memory_full_info().uss for each in family}
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(
                most[0], *(each.memory_full_info().uss - before[each.pid] for each in family)
            )

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield lambda: most[0]
    finally:
        done.set()
        watching.join()


def test_a_download_that_breaks_off_closes_its_file(
    live: Studio, token: str, client: httpx.Client, place: str
) -> None:
    (live.home / "artifacts" / place).mkdir(parents=True)
    with (live.home / "artifacts" / place / "big.bin").open("wb") as file:
        file.truncate(500 * MB)
    reference = process(live, "reference")

    def is_open() -> bool:
        return any("big.bin" in file.path for file in reference.open_files())

    run = place.split("/")[1]
    # The first is a question as no client asks it: Studio answers all others itself.
    for path in (f"{PROXY}/{place}/big.bin?x", f"/get-artifact?run_uuid={run}&path=big.bin"):
        with client.stream("GET", path) as answer, growth(process(live, "web"), reference) as grown:
            pieces = answer.iter_raw()
            assert next(pieces)
            until(is_open, "the file that is sent", 5)
            time.sleep(1)  # as a slow reader: nothing piles up meanwhile
            assert is_open()
            assert grown() < 30 * MB
        until(lambda: not is_open(), "its end", 3)


def test_300_mb_go_up_and_come_down_in_flat_memory(
    live: Studio, client: httpx.Client, place: str
) -> None:
    block = secrets.token_bytes(MB)
    sent, got = hashlib.sha256(), hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(300):
            piece = number.to_bytes(4, "big") + block[4:]
            sent.update(piece)
            yield piece

    size = {"Content-Length": str(300 * MB)}
    # Once in small: the first request of a process costs what later ones do not.
    client.put(f"{PROXY}/{place}/small", content=block)
    client.get(f"{PROXY}/{place}/small")
    with growth(process(live, "web"), process(live, "reference")) as grown:
        assert client.put(f"{PROXY}/{place}/a", content=pieces(), headers=size).status_code == 200
        with client.stream("GET", f"{PROXY}/{place}/a") as answer:
            for piece in answer.iter_raw():
                got.update(piece)
    assert got.hexdigest() == sent.hexdigest()
    assert grown() < 30 * MB


@pytest.mark.parametrize(
    ("who", "path", "headers", "status", "code"),
    [
        ("client", "runs/get?run_id=no", {}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("client", "nowhere", {}, 404, None),
        ("client", "runs/get", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("stranger", "experiments/get?experiment_id=0", {}, 403, None),
        ("client", "runs/get?run_id=x", {"Authorization": "Bearer no"}, 401, "UNAUTHENTICATED"),
        ("client", "runs/get?run_id=x", {"X-MLFLOW-WORKSPACE": "x"}, 500, "FEATURE_DISABLED"),
    ],
)
def test_a_refusal_comes_through_as_it_is(
    request: pytest.FixtureRequest, live: Studio, who: str, path: str, headers: dict[str, str],
    status: int, code: str | None,
) -> None:  # fmt: skip
    asking: httpx.Client = request.getfixturevalue(who)
    answer = asking.get(f"{API}/{path}", headers=headers)
    assert answer.status_code == status
    assert answer.content
    assert answer.headers["content-type"]
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")
    if code:
        assert answer.json()["error_code"] == code
        assert answer.json()["message"]


def test_compressed_traces_are_taken_from_who_may_write_them(
    client: httpx.Client, stranger: httpx.Client, place: str
) -> None:
    experiment = place.split("/")[0]
    sent = ExportTraceServiceRequest()
    span = sent.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = "asked", 10**18, 10**18 + 10**9
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
        "x-mlflow-experiment-id": experiment,
    }
    body = gzip.compress(sent.SerializeToString())
    trace = f"/api/3.0/mlflow/traces/tr-{span.trace_id.hex()}"
    assert stranger.post("/v1/traces", content=body, headers=headers).status_code == 403
    assert client.get(trace).status_code == 404
    answer = client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    kept = client.get(trace).json()["trace"]["trace_info"]
    assert kept["trace_location"]["mlflow_experiment"]["experiment_id"] == experiment
    assert stranger.get(trace).status_code == 403


def asks(client: httpx.Client) -> httpx.Response:
    return client.post(f"{API}/logged-models/search", json={"experiment_ids": ["0"]})


def is_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "MLflow's server is not answering" in answer.json()["message"]


def studio_goes_on(live: Studio, client: httpx.Client) -> None:
    for path in ("/livez", "/experiments/", "/api/v1/endpoints"):
        assert client.get(path, timeout=3).status_code == 200
    assert httpx.get(f"{live.scoring_url}/healthz", timeout=3).status_code == 200


def test_a_stuck_server_is_told_of_soon_and_studio_goes_on(
    live: Studio, client: httpx.Client
) -> None:
    reference = process(live, "reference")
    many = 2 * MOST
    reference.suspend()
    try:
        with ThreadPoolExecutor(many) as pool:
            started = time.monotonic()
            asked = [pool.submit(asks, client) for _ in range(many)]
            while not all(one.done() for one in asked):
                studio_goes_on(live, client)
            assert time.monotonic() - started < 10
            refused = [one.result() for one in asked]
        assert {answer.status_code for answer in refused} == {503}
        until(lambda: "not answering" in asks(client).text, "that all know of it", 10)
        started = time.monotonic()
        is_refused(asks(client))
        assert time.monotonic() - started < 2.5
        studio_goes_on(live, client)
    finally:
        reference.resume()
    until(lambda: asks(client).status_code == 200, "MLflow's answer", 15)


def test_a_killed_server_is_told_of_at_once_and_comes_back(
    live: Studio, client: httpx.Client
) -> None:
    reference = process(live, "reference")
    reference.send_signal(signal.SIGKILL)
    until(lambda: not reference.is_running() or reference.status() == "zombie", "its end", 5)
    started = time.monotonic()
    is_refused(asks(client))
    assert time.monotonic() - started < 1
    studio_goes_on(live, client)
    until(lambda: asks(client).status_code == 200, "MLflow's answer", 40)
