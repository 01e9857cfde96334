"""A whole Studio, started by `manage.py up` as a user starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-battery-staple"
METRICS_TOKEN = "only-prometheus-may-ask-with-it"


@dataclass
class Studio:
    home: Path
    port: int
    scoring_port: int
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def scoring_url(self) -> str:
        return f"http://127.0.0.1:{self.scoring_port}"

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.home, self.port, self.scoring_port) | self.more

    def manage(self, *arguments: str) -> str:
        """Run a management command of this Studio and return what it prints."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def token(self, user: str = "admin") -> str:
        return self.manage("token", "--user", user, "--name", "test")

    def client(self, token: str) -> httpx.Client:
        """A client of /api/v1 and MLflow's API."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def pid(self, name: str) -> int | None:
        """Of one of its processes, as `up` has last written it down."""
        processes = json.loads((self.home / "processes.json").read_text())["processes"]
        return next(process["pid"] for process in processes if process["name"] == name)  # type: ignore[no-any-return]

    def stop(self, seconds: float) -> None:
        """End it as a user does. Raises TimeoutExpired when that takes longer."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)

    def log(self) -> str:
        return "\n".join(self.lines)


def environment(home: Path, port: int, scoring_port: int) -> dict[str, str]:
    own = {
        "STUDIO_HOME": str(home),
        "STUDIO_PORT": str(port),
        "STUDIO_SCORING_PORT": str(scoring_port),
        "STUDIO_ADMIN_PASSWORD": PASSWORD,
        "STUDIO_METRICS_TOKEN": METRICS_TOKEN,
    }
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | own


@contextmanager
def studio(
    home: Path | None = None, seconds: float = 60, more: dict[str, str] | None = None
) -> Iterator[Studio]:
    """Start Studio, wait until it says that it is ready, in that many seconds, and stop it at the end."""
    folder = home or Path(tempfile.mkdtemp(prefix="studio-live-"))
    if home is None and os.geteuid() == 0:
        folder.chmod(0o711)  # as Studio makes it: models run under accounts of their own
    ports = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=environment(folder, *ports) | (more or {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    started = Studio(folder, *ports, process, more=more or {})
    reader = threading.Thread(target=_collect, args=[started], daemon=True)
    reader.start()
    try:
        try:
            until(lambda: _ready(started), "Studio is ready", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{started.log()[-8000:]}") from None
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            reader.join()
            assert process.stdout is not None
            process.stdout.close()
            if home is None:
                shutil.rmtree(folder, ignore_errors=True)


def _collect(studio: Studio) -> None:
    assert studio.process.stdout is not None
    for line in studio.process.stdout:
        studio.lines.append(line.rstrip())


def _ready(studio: Studio) -> bool:
    assert studio.process.poll() is None, f"`up` ended:\n{studio.log()}"
    return bool(re.search(r"Studio is ready at http", studio.log()))
