"""MLflow's server of a running Studio, without Studio before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from studio.lib.home import Home
from studio.lib.secrets import derive
from studio.mlflow.identity import HEADER, header_for
from tests.support.live import Studio


@contextmanager
def mlflow_alone(live: Studio) -> Iterator[httpx.Client]:
    """A client of it that is believed to be the administrator."""
    home = Home(live.home)
    key = derive(home.secret("secret-key"), "mlflow identity")

    def sign(request: httpx.Request) -> None:
        request.headers[HEADER] = header_for("admin", key)

    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(home.reference_socket)),
        base_url="http://mlflow",
        event_hooks={"request": [sign]},
        timeout=20,
    ) as client:
        yield client
