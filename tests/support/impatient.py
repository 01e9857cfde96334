"""Studio's web application as it is, but for its patience: tests do not wait for half a minute."""

from __future__ import annotations

from studio.lib import patience

patience.PATIENCE, patience._ROUND = 2.0, 0.1

from studio.wsgi import application  # noqa: E402

__all__ = ["application"]
