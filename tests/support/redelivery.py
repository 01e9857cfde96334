"""Studio's settings, with a broker that delivers again after 5 s what still runs, and a log of what it delivers."""

from __future__ import annotations

from typing import Any

from studio import settings as own

own.CELERY_BROKER_TRANSPORT_OPTIONS |= {
    "visibility_timeout": 5,  # seconds
    # Looked for each second, not each 100.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
_loggers: Any = own.LOGGING["loggers"]
_loggers["celery.worker.strategy"]["level"] = "INFO"
globals().update({name: getattr(own, name) for name in dir(own) if name.isupper()})
