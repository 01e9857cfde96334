"""The processes that make up Studio on this machine, in the order in which they start."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from studio.launch.postgres import EmbeddedPostgres
from studio.launch.redis import EmbeddedRedis


@dataclass(frozen=True, slots=True)
class Program:
    """One process: how it is started and how it is asked to end."""

    name: str
    command: Callable[[], list[str]]
    stop: signal.Signals = signal.SIGTERM


def stores() -> list[Program]:
    """The embedded servers, without those that the administrator brings."""
    programs = []
    if settings.POSTGRES_EMBEDDED:
        # SIGINT: end the sessions and write everything down. SIGTERM would wait for the sessions.
        programs.append(Program("postgres", EmbeddedPostgres(settings.HOME).command, signal.SIGINT))
    if settings.REDIS_EMBEDDED:
        programs.append(Program("redis", EmbeddedRedis(settings.HOME).command))
    return programs


def services() -> list[Program]:
    return [
        Program("reference", lambda: _python("studio.mlflow.serve")),
        Program("web", _web),
        Program("gateway", lambda: _python("endpoints.gateway")),
        Program("agent", lambda: _python("endpoints.agent")),
        Program(
            "worker",
            lambda: _celery(
                "worker",
                f"--concurrency={_cores()}",
                "--without-gossip",
                "--without-mingle",
            ),
        ),
        Program(
            "beat",
            lambda: _celery("beat", "--scheduler=studio.beat:SteadyScheduler"),
        ),
    ]


_CONNECTIONS = 1024  # to each process of web
# Names, in the environment of every process, the `up` that it belongs to.
MARK = "STUDIO_UP_MARK"


def child_environment(mark: str) -> dict[str, str]:
    """The environment of every process: bytecode is kept, output is not held back, and it is marked as ours."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    path = os.pathsep.join(
        filter(None, [str(settings.BASE_DIR), environment.get("PYTHONPATH", "")])
    )
    # Told at each start, and not ours to mend: MLflow's choice of a module, and whom Studio is run by.
    quiet = "ignore:starlette.middleware.wsgi,ignore:You're running the worker with superuser"
    return environment | {
        "PYTHONWARNINGS": quiet,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": path,
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "studio.settings"),
        MARK: mark,
    }


def _web() -> list[str]:
    options = {
        "--interface": "wsgi",
        "--host": settings.BIND,
        "--port": settings.PORT,
        "--workers": _cores(),
        "--http": 1,  # of HTTP/2 a body without a length would be taken for none
        # As many as connections, idle ones too, so that each finds a thread: those that wait for a client cost
        # 60 KB, and studio.lib.bodies lets as many work as is good.
        "--blocking-threads": _CONNECTIONS,
        "--backpressure": _CONNECTIONS,
        "--workers-kill-timeout": "4s",
        "--log-level": "error",
    }
    flags = [str(item) for pair in options.items() for item in pair]
    return [
        *_python("granian"),
        *flags,
        "--no-ws",
        "--respawn-failed-workers",
        "studio.wsgi:application",
    ]


def _celery(command: str, *flags: str) -> list[str]:
    return [
        *_python("celery"),
        "--app=studio",
        "--quiet",
        command,
        "--loglevel=INFO",
        *flags,
    ]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _cores() -> int:
    return max(
        2,
        min(
            4,
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 2,
        ),
    )
