"""Builds the environments that models run in, with uv. One that is there is shared by all who need the same."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import secrets
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psutil
from django.conf import settings
from uv import find_uv_bin

from endpoints.requirements import FASTER, SERVER, Requirements
from studio.lib.errors import StudioError

_UV = find_uv_bin()  # once: it is not safe in several threads at a time
Say = Callable[[str], None]

_PASSED_ON = re.compile(
    r"UV_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|PIP_CERT|\w+_proxy|\w+_PROXY|PATH|HOME|LANG|LC_\w+|TMPDIR"
)
_LOGIN = re.compile(r"://[^/\s]+@")
_PREAMBLE = re.compile(
    r"(error: )?No solution found when resolving dependencies:? *(cause: )?|error: "
)
_TICK = 2.0  # seconds: a person who watches sees something new at least this often


class BuildFailed(StudioError):
    """`detail` holds what uv said last."""

    code, status = "build_failed", 422


class Cancelled(StudioError):
    """Nobody wants the environment any more."""


def folder(key: str) -> Path:
    return Path(settings.HOME.environments) / key


def build(
    wanted: Requirements,
    interpreter: Path,
    key: str,
    model: Path,
    say: Say,
    lost: Event,
) -> Path:
    """Return the folder of the environment `key`, built if it is not there. `say` gets each line of the log.

    Built under another name and renamed at the end: one that is there is whole. Raises BuildFailed, Cancelled.
    """
    place = folder(key)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(place, say, lost):
        if place.exists():
            say(f"environment {key[:8]} is in the cache")
            return place
        for left in place.parent.glob(f"{key}.*.new"):  # by a worker that was killed
            shutil.rmtree(left, ignore_errors=True)
        # A name of its own: that worker's uv may still write to the former one.
        draft = place.with_name(f"{key}.{secrets.token_hex(4)}.new")
        say(f"environment {key[:8]} is not in the cache, building it")
        try:
            venv = ["venv", "--relocatable", "--python", str(interpreter), str(draft)]
            _uv(venv, model, say, lost)
            _install(wanted, draft, model, say, lost)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place


def _install(wanted: Requirements, draft: Path, model: Path, say: Say, lost: Event) -> None:
    """Install what the model asks for together with the server, and what makes it faster if that fits too."""
    listed, bounds = draft / "requirements.txt", draft / "constraints.txt"
    bounds.write_text("\n".join(wanted.constraints) + "\n")
    install = ["pip", "install", "--python", str(draft / "bin" / "python")]
    install += ["-r", str(listed), "-c", str(bounds)]
    said: list[str] = []

    def note(line: str) -> None:
        said.append(line)
        say(line)

    try:
        listed.write_text("\n".join((*wanted.lines, *SERVER, *FASTER)) + "\n")
        _uv(install, model, note, lost)
    except BuildFailed:
        if not any(name in line for name in FASTER for line in said):
            raise  # it is not for their sake, and would only be said again
        say(f"trying again without {', '.join(FASTER)}")
        listed.write_text("\n".join((*wanted.lines, *SERVER)) + "\n")
        _uv(install, model, say, lost)


def _uv(arguments: list[str], cwd: Path, say: Say, lost: Event) -> None:
    """Run uv and hand each of its lines to `say`; something is said at least every two seconds."""
    command = [
        _UV,
        *arguments,
        "--no-python-downloads",
        "--no-progress",
        "--color",
        "never",
    ]
    said: list[str] = []
    started = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=_environment(),
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in _lines(process):
            if lost.is_set():
                _kill(process)
                raise Cancelled("The deployment is no longer wanted.")
            if line is None:
                say(f"still at it, {time.monotonic() - started:.0f} s")
            elif line.strip():
                said.append(_LOGIN.sub("://", line.rstrip()))
                say(said[-1])
    if process.returncode:
        raise BuildFailed(_summary(said), detail="\n".join(said[-60:]))


def _kill(process: subprocess.Popen[str]) -> None:
    """End uv and what it has started: a package's own build goes on without it, and holds its output open."""
    with contextlib.suppress(psutil.NoSuchProcess):
        uv = psutil.Process(process.pid)
        uv.suspend()  # it starts nothing more while we look
        started = uv.children(recursive=True)
        uv.kill()
        for child in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """Each line as it comes, and None whenever two seconds have passed without one."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    assert process.stdout is not None
    output = process.stdout

    def collect() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    reader = Thread(target=collect, daemon=True)
    reader.start()
    while True:
        try:
            line = lines.get(timeout=_TICK)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _summary(said: list[str]) -> str:
    """uv's own explanation, which follows a cross, in one paragraph."""
    start = next(
        (number for number, line in enumerate(said) if line.lstrip().startswith(("×", "error:"))),
        None,
    )
    told = said[-3:] if start is None else said[start : start + 6]
    text = _PREAMBLE.sub("", " ".join(line.strip(" ×╰─▶│├") for line in told))
    why = f"{text[:1].upper()}{text[1:].rstrip('.')}"
    return (
        f"The model's requirements could not be installed. {why}. "
        "Correct them and log the model again; or try again, if the package index was out of reach."
    )


def _environment() -> dict[str, str]:
    """What uv may know: the operator's index, certificates and proxy, and nothing of Studio's.

    The system's certificates count, where it has any: a company's index may need one of its own.
    """
    passed = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    usual = {"UV_CACHE_DIR": str(settings.HOME.uv_cache)}
    if ssl.get_default_verify_paths().cafile:
        usual["UV_SYSTEM_CERTS"] = "true"
    return usual | passed


@contextmanager
def _lock(place: Path, say: Say, lost: Event) -> Iterator[None]:
    """Only one builds a given environment; the others wait and then find it."""
    with place.with_suffix(".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                say("another deployment is building the same environment: waiting for it")
                if lost.wait(_TICK):
                    raise Cancelled("The deployment is no longer wanted.") from None
        yield
