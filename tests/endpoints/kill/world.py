"""A Studio to break: one endpoint has a load of 100 requests/s, the other one the deployments that suffer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from studio.launch.programs import MARK
from tests.support.index import Index
from tests.support.live import Studio
from tests.support.load import Load, Request
from tests.support.processes import until

SERVICES = ["worker", "beat", "web", "reference", "agent", "redis", "postgres"]
MENDED = 40.0  # seconds until all is well again, on a busy machine
SLOW = 1.0  # seconds that no request may take

# Each with what it needs besides MLflow. The first one's environment is there, the others' are built.
MODELS = [
    ("tiny",),
    ("built", "tiny==1.0"),
    ("wants-late", "late==1.0"),
    ("wants-both", "tiny==1.0", "needy==1.0"),
    ("wants-two", "tiny==2.0"),
    ("wants-room", "tiny==2.0", "roomy==1.0"),
]
ROWS = f"""
MODELS = {MODELS!r}
from django.conf import settings
from django.db import transaction
from endpoints import services
from endpoints.models import State
from studio.accounts.models import User
from tests.support.prebuilt import make_environment, make_model
from tests.support.serving import make_deployment, make_endpoint, make_runnable
by = User.objects.get()
mood = settings.HOME.root / "mood"
mood.write_text("is fine")
make_endpoint(by, "victims")
for name, *lines in MODELS:
    make_model(name, *lines, mood=mood)
make_environment()
with transaction.atomic():
    other = make_deployment(by, make_endpoint(by, "other"), state=State.LIVE, traffic=100)
    make_runnable(other, "serve")
print(services.primary_key(other.endpoint))
"""
_REPLICAS = """
SELECT replica.pid, replica.state, deployment.name FROM endpoints_replica replica
JOIN endpoints_deployment deployment ON deployment.id = replica.deployment_id
WHERE replica.state <> 'gone'
"""


@dataclass
class World:
    studio: Studio
    api: httpx.Client
    load: Load
    index: Index  # slow; what is built is built from it
    status: dict[str, Any] = field(default_factory=dict)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What `up` has noted of each."""
        return {process["name"]: process for process in self._noted()["processes"]}

    def pid(self, name: str) -> int:
        """Of a service, of a process of the worker's pool, of the replica that stays, or of the template."""
        if name == "pool process":
            return min(child.pid for child in psutil.Process(self.pid("worker")).children())
        if name == "replica":
            return next(pid for pid, state, name in self.rows() if name == "kept" and pid)
        if name == "template":
            [pid] = self.model_servers() - {pid for pid, *_ in self.rows()}
            return pid
        return int(self.processes()[name]["pid"])

    def another(self, name: str, before: int) -> bool:
        """Whether there is one that is not the one before."""
        try:
            return self.pid(name) != before
        except (TypeError, ValueError, StopIteration, psutil.Error, psycopg.Error):
            return False

    def rows(self) -> list[tuple[int | None, str, str]]:
        """Pid, state and deployment of each replica that is not gone."""
        return self.asked(_REPLICAS)

    def asked(self, query: str) -> list[Any]:
        with psycopg.connect(self.status["database_url"], connect_timeout=5) as connection:
            return connection.execute(query).fetchall()

    def model_servers(self) -> set[int]:
        """Every process of this Studio's that serves a model, or forks those that do."""
        return {process.pid for process in self.working_below(self.studio.home, "model_server")}

    def working_below(self, place: Path, word: str) -> list[psutil.Process]:
        """Processes with both in their command line."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            if word in command and str(place) in command:
                found.append(process)
        return found

    def orphans(self) -> list[psutil.Process]:
        """What bears the mark of this `up`, and is not below it any more."""
        up, mark = psutil.Process(self.studio.process.pid), self._noted()["mark"]
        marked = [process for process in psutil.process_iter() if _mark(process) == mark]
        family = {up.pid, *(process.pid for process in up.children(recursive=True))}
        return [one for one in marked if one.pid not in family and one.is_running()]

    def deploy(self, name: str, model: str = "tiny") -> str:
        """Click. Returns where its state is told."""
        wanted = {"name": name, "model_uri": f"models:/{model}/1"}
        made = self.api.post("/api/v1/endpoints/victims/deployments", json=wanted)
        assert made.status_code == 202, made.text
        return str(made.headers["Location"])

    def told(self, place: str) -> dict[str, Any]:
        """A deployment as the API tells it. Empty where it does not answer."""
        with suppress(httpx.HTTPError):
            answer = self.api.get(place)
            if answer.status_code == 200:
                return dict(answer.json())
        return {}

    def live(self, place: str) -> bool:
        told = self.told(place)
        assert told.get("state") != "failed", told
        return told.get("state") == "live"

    def well(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.api.get("/healthz").status_code == 200
        return False

    def settled(self) -> bool:
        """Whether each replica is ready and has the one process, and there is none besides but the template."""
        rows = self.rows()
        pids = {pid for pid, *_ in rows}
        ready = None not in pids and {state for _, state, _ in rows} == {"ready"}
        return ready and len(pids) == len(rows) and len(self.model_servers() - pids) == 1

    def mended(self, place: str) -> None:
        """All is well, what was on its way is live, nothing runs twice and nothing is left behind."""
        until(self.well, "all is well", MENDED)
        until(lambda: self.live(place), "what was on its way is live", MENDED)
        until(self.settled, "each replica has its one process", MENDED)
        until(lambda: not self.orphans(), "nobody is left behind", 5)
        self.api.delete(place).raise_for_status()

    @property
    def mood(self) -> Path:
        """What the models are like."""
        return self.studio.home / "mood"

    def execute(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.status["database_url"], connect_timeout=5) as connection:
            assert connection.execute(statement, values).rowcount

    def uvs(self) -> list[psutil.Process]:
        return self.working_below(self.studio.home / "environments", "uv")

    def half_built(self) -> list[Path]:
        return [
            *self.studio.home.glob("environments/*.new"),
            *self.studio.home.glob("models/*.new"),
        ]

    @contextmanager
    def unharmed(self, but: Callable[[Request], bool] = lambda request: False) -> Iterator[None]:
        """No request to the other endpoint fails or is slow while the block runs, and a moment longer."""
        start = time.monotonic()
        yield
        requests = self.load.between(start, time.monotonic() + 0.2)
        harmed = [one for one in requests if (one.failed or one.took > SLOW) and not but(one)]
        assert harmed == []

    def _noted(self) -> dict[str, Any]:
        return dict(json.loads((self.studio.home / "processes.json").read_text()))


def _mark(process: psutil.Process) -> str | None:
    with suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return str(process.environ().get(MARK))
    return None


@contextmanager
def still(name: str, pid: int) -> Iterator[None]:
    """It stands still, and what it has started, but not the model servers."""
    leader = psutil.Process(pid)
    alone = name in ("agent", "template", "replica")
    all_of_it = [leader, *([] if alone else leader.children(recursive=True))]
    for process in all_of_it:
        process.suspend()
    try:
        yield
    finally:
        for process in all_of_it:
            with suppress(psutil.NoSuchProcess):
                process.resume()
