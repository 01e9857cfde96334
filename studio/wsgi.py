from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from studio.lib import heartbeat
from studio.lib.connections import keep_watch
from studio.lib.start import read_settings

read_settings()
_django = get_wsgi_application()
_watch = cache(keep_watch)  # at the first request: the server listens only after it has loaded this
# Of a body that nobody has read, what is read nevertheless (bytes). A longer one costs the connection.
_SHORT = 64 * 1024


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django's answer, once a short body has been read to its end.

    The server closes a connection whose request it could not read to its end, an upload that was refused
    say: the client, who may have sent its next request on it by then, would see it fail.
    """
    _watch(settings.PORT)
    answer: Iterable[bytes] = _django(environ, start_response)
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdecimal() and int(length) <= _SHORT:
        while environ["wsgi.input"].read(_SHORT):
            pass
    return answer


from studio.health.counters import SHARED, WEB  # noqa: E402 - once Django is set up

heartbeat.start("web", WEB.windows)
SHARED.keep_writing()
# Beside the first requests, so that the first search does not wait seconds for it.
Thread(target=import_module, args=["mlflow.utils.search_utils"], daemon=True).start()
