from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from studio.lib import bodies, heartbeat, patience
from studio.lib.connections import SlowReaders, keep_watch
from studio.lib.errors import StudioError
from studio.lib.http import mlflow_error
from studio.lib.start import read_settings

read_settings()
_django = get_wsgi_application()
_watch = cache(keep_watch)  # at the first request: the server listens only after it has loaded this


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The lane's answer by the short way, or Django's, once the first piece of a body is there."""
    _watch(settings.PORT)
    try:
        bodies.begin(environ)
    except (StudioError, ConnectionAbortedError) as failure:
        return _refused(failure, start_response)
    with bodies.PLACES:
        answer: Iterable[bytes] | None = express.answered(environ, start_response)
        if answer is None:
            answer = _django(environ, start_response)
    return bodies.finish(environ, answer)


def _refused(
    failure: StudioError | ConnectionAbortedError, start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """What nobody has begun to work on, in the words of MLflow's API."""
    if isinstance(failure, StudioError):
        told = refusal(failure)
    else:
        told = mlflow_error("BAD_REQUEST", str(failure), 400)
    start_response(f"{told.status_code} {told.reason_phrase}", list(told.items()))
    return [told.content]


from studio import express  # noqa: E402 - once Django is set up
from studio.health.counters import SHARED, WEB  # noqa: E402
from studio.lane import entry  # noqa: E402
from studio.mlflow.guards import refusal  # noqa: E402
from tracking import activity  # noqa: E402

heartbeat.start("web", WEB.windows, news=[activity.write])
SHARED.keep_writing()
patience.keep_looking(SlowReaders(settings.PORT).cut_off)
# Beside the first requests, so that the first call to the lane and the first search do not wait seconds for it.
Thread(target=entry.warm_up, daemon=True).start()
