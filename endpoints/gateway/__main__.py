"""`python -m endpoints.gateway`: answers predictions on STUDIO_SCORING_PORT."""

from __future__ import annotations

import logging.config
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from endpoints.gateway.limits import Limits
from endpoints.gateway.serving import run
from studio.lib import heartbeat
from studio.lib.start import read_settings


def main(limits: Limits) -> int:
    """Return the exit code: 1, with one line that names the setting, when it cannot begin."""
    read_settings()
    try:
        logging.config.dictConfig(settings.LOGGING)
        heartbeat.start("gateway")
        run(limits)
    except ImproperlyConfigured as failure:
        sys.stderr.write(f"The gateway cannot start: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Limits()))
