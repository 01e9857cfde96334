"""Builds the environments that models run in, with uv. One that is there is shared by all who need the same."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import selectors
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import psutil
from django.conf import settings
from uv import find_uv_bin

from endpoints.agent import spawning
from endpoints.masking import Mask, mask
from endpoints.requirements import FASTER, SERVER, Requirements
from studio.lib.errors import StudioError

_UV = find_uv_bin()  # once: it is not safe in several threads at a time
Say = Callable[[str], None]

_PASSED_ON = re.compile(
    r"UV_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|PIP_CERT|\w+_proxy|\w+_PROXY|PATH|HOME|LANG|LC_\w+|TMPDIR"
)
_PREAMBLE = re.compile(
    r"(error: )?No solution found when resolving dependencies:? *(cause: )?|error: "
)
_FULL = os.strerror(errno.ENOSPC)
_TICK = 2.0  # seconds: a person who watches sees something new at least this often
_BYTECODE_PATIENCE = 90.0  # seconds
_BREAK = re.compile(rb"[\r\n]")
_LONGEST_LINE = 1 << 20  # bytes
_MOST_IN_PIPE = 1 << 20  # bytes that were written and not yet read
_MARK = "STUDIO_BUILDS"  # variable of all that a build starts; a daemon, too, passes it on


class BuildFailed(StudioError):
    """`detail` holds what uv said last."""

    code, status = "build_failed", 422


class Cancelled(StudioError):
    """Nobody wants the environment any more."""


class Gone(FileNotFoundError):
    """An environment that was there is not there any more."""


def folder(key: str) -> Path:
    return Path(settings.HOME.environments) / key


def python_of(key: str) -> Path:
    """The interpreter of a built environment. Raises Gone when somebody has removed it meanwhile."""
    python = folder(key) / "bin" / "python"
    if not python.exists():
        raise Gone("its environment has been removed from this machine; a retry builds it again")
    return python


def build(
    wanted: Requirements,
    interpreter: Path,
    key: str,
    model: Path,
    say: Say,
    lost: Event,
    flavors: Sequence[str] = (),
) -> Path:
    """Return the folder of the environment `key`, built if it is not there. `say` gets each line of the log.

    Built under another name and renamed at the end: one that is there is whole. From then on it counts as
    used, so that it is not evicted before its deployment says so. Raises BuildFailed, Cancelled.
    """
    place = folder(key)
    # As root, the accounts that models run under may pass through.
    place.parent.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    with _lock(place, say, lost):
        _remove_broken(place)
        if place.exists():
            say(f"environment {key[:8]} is in the cache")
            os.utime(place)
            return place
        for left in place.parent.glob(f"{key}.*.new"):  # by a worker that was killed
            _end_builders_of(left)
            shutil.rmtree(left, ignore_errors=True)
        draft = place.with_name(f"{key}.{secrets.token_hex(4)}.new")
        say(f"environment {key[:8]} is not in the cache, building it")
        hide = mask(_environment(), (*wanted.lines, *wanted.constraints), model)
        uv = _Uv(model, draft, say, lost, hide)
        try:
            uv.run(["venv", "--relocatable", "--python", str(interpreter), str(draft)])
            _install(wanted, draft, uv)
            _write_bytecode(draft, flavors, say, lost)
            os.utime(draft)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place


def _remove_broken(place: Path) -> None:
    """An environment whose interpreter has left the machine is of no use to anybody."""
    python = place / "bin" / "python"
    if python.is_symlink() and not python.exists():
        shutil.rmtree(place, ignore_errors=True)


def _install(wanted: Requirements, draft: Path, uv: _Uv) -> None:
    """Install what the model asks for together with the server, and what makes it faster if that fits too."""
    listed, bounds = draft / "requirements.txt", draft / "constraints.txt"
    for file in (
        listed,
        bounds,
    ):  # which may hold the login of an index, and others may read the environment
        file.touch(mode=0o600)
    bounds.write_text("\n".join(wanted.constraints) + "\n")
    install = ["pip", "install", "--python", str(draft / "bin" / "python")]
    install += ["-r", str(listed), "-c", str(bounds)]
    try:
        listed.write_text("\n".join((*wanted.lines, *SERVER, *FASTER)) + "\n")
        uv.run(install)
    except BuildFailed:
        if not any(name in line for name in FASTER for line in uv.said):
            raise  # it is not for their sake, and would only be said again
        uv.say(f"trying again without {', '.join(FASTER)}")
        listed.write_text("\n".join((*wanted.lines, *SERVER)) + "\n")
        uv.run(install)
    listed.unlink()
    bounds.unlink()


def _write_bytecode(draft: Path, flavors: Sequence[str], say: Say, lost: Event) -> None:
    """Import once what models of these flavours need: each later start finds it compiled.

    It is no reason to fail: what cannot be imported is told, and the model server tells it again.
    """
    started = time.monotonic()
    say("compiling what a model server imports")
    command = [str(draft / "bin" / "python"), "-m", "model_server.bytecode", *flavors]
    try:
        marked = spawning.environment() | {_MARK: draft.name}
        code = _run(command, draft, marked, say, lost, _BYTECODE_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as failure:
        say(f"not compiled: {failure}")
        return
    told = "" if code == 0 else f", but it ended with exit code {code}"
    say(f"compiled in {time.monotonic() - started:.1f} s{told}")


class _Uv:
    """Runs uv in a model's folder. `said` is what it last said, as it may be written down."""

    def __init__(self, model: Path, draft: Path, say: Say, lost: Event, hide: Mask) -> None:
        self.said: list[str] = []
        self.say = say
        self._model, self._lost, self._hide = model, lost, hide
        self._marked = {_MARK: draft.name}

    def run(self, arguments: list[str]) -> None:
        """Raises BuildFailed with uv's own explanation, and Cancelled."""
        command = [_UV, *arguments, "--no-python-downloads", "--no-progress", "--color", "never"]
        self.said = []

        def note(line: str) -> None:
            self.said.append(self._hide(line))
            self.say(self.said[-1])

        if code := _run(command, self._model, _environment() | self._marked, note, self._lost):
            raise BuildFailed(_summary(self.said, code), detail="\n".join(self.said[-60:]))


def _run(
    command: list[str],
    cwd: Path,
    environment: dict[str, str],
    note: Say,
    lost: Event,
    patience: float = float("inf"),
) -> int:
    """Run a command, hand each of its lines to `note`, and return its exit code.

    Something is said at least every two seconds. Raises Cancelled, and TimeoutExpired when it takes longer
    than `patience`. What it has started ends with it, in any case.
    """
    started = time.monotonic()
    # Of the worker's own group: what ends that, as the end of Studio, ends this too.
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        umask=0o022,  # an environment may be read: a model may run under an account of its own
    )
    assert process.stdout is not None
    try:
        with process.stdout, contextlib.closing(_lines(process)) as lines:
            for line in lines:
                took = time.monotonic() - started
                if lost.is_set():
                    raise Cancelled("The deployment is no longer wanted.")
                if took > patience:
                    raise subprocess.TimeoutExpired(Path(command[0]).name, patience)
                if line is None:
                    note(f"still at it, {took:.0f} s")
                elif line.strip():
                    note(line.rstrip())
    finally:
        _kill(process.pid)  # nothing, where it has ended: it is asked for only below
        _end_marked(environment[_MARK])
        code = process.wait()
    return code


def _end_builders_of(draft: Path) -> None:
    """End what a killed worker has left building there: nobody else names a folder with that random name."""
    for process in psutil.process_iter(["cmdline"]):
        if any(draft.name in part for part in process.info["cmdline"] or []):
            _kill(process.pid)
    _end_marked(draft.name)


def _end_marked(mark: str) -> None:
    """End what a build has left running, a daemon say: no parent and no group leads to it, but its environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone, or of an account that is closed to us
            if process.environ().get(_MARK) == mark:
                process.kill()


def _kill(pid: int) -> None:
    """End it and what it has started: a package's own build goes on without uv, and holds its output open."""
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        leader.suspend()  # it starts nothing more while we look
        started = leader.children(recursive=True)
        leader.kill()
        for child in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _lines(process: subprocess.Popen[bytes]) -> Generator[str | None, None, None]:
    """Each line as it comes, and None whenever two seconds have passed without one.

    They end with the process, of which nobody may have asked yet: what it has started may live on, and hold
    its output open for ever.
    """
    assert process.stdout is not None
    output, exit_watch = process.stdout.fileno(), os.pidfd_open(process.pid)
    os.set_blocking(output, False)
    rest, heard, ended = b"", time.monotonic(), False
    try:
        with selectors.DefaultSelector() as waiting:
            for watched in (output, exit_watch):
                waiting.register(watched, selectors.EVENT_READ)
            while not ended:
                left = max(0.0, heard + _TICK - time.monotonic())
                ready = {key.fd for key, _ in waiting.select(left)}
                ended = exit_watch in ready
                piece = _what_is_there(output)
                if output in ready and not piece:  # it was closed by all who had it
                    waiting.unregister(output)
                *whole, rest = _BREAK.split(rest + piece)
                if ended or len(rest) > _LONGEST_LINE:
                    whole, rest = [*whole, rest], b""
                for line in whole:
                    yield line.decode(errors="replace")
                if not whole and not left:
                    yield None
                if whole or not left:
                    heard = time.monotonic()
    finally:
        os.close(exit_watch)


def _what_is_there(output: int) -> bytes:
    """All that was written and not yet read."""
    try:
        return os.read(output, _MOST_IN_PIPE)
    except BlockingIOError:
        return b""


def _summary(said: list[str], code: int) -> str:
    """uv's own explanation, which follows a cross, in one paragraph, and what to do next."""
    start = next(
        (number for number, line in enumerate(said) if line.lstrip().startswith(("×", "error:"))),
        None,
    )
    told = said[-3:] if start is None else said[start : start + 6]
    text = _PREAMBLE.sub("", " ".join(line.strip(" ×╰─▶│├") for line in told))
    why = f"{text[:1].upper()}{text[1:].rstrip('.')}"
    then = (
        "Correct them and log the model again; or try again, if the package index was out of reach."
    )
    if code < 0:
        why = f"uv, which installs them, was ended by {signal.Signals(-code).name}"
        then = "This machine may be short of memory. Try again."
    elif _FULL in "\n".join(said):
        why, then = _FULL, "Make room on the disk of STUDIO_HOME, then try again."
    return f"The model's requirements could not be installed. {why}. {then}"


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
