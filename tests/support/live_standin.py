"""A replica in a running Studio that costs no build: of a live deployment, with the stand-in for a model server."""

from __future__ import annotations

import json

import psutil
import psycopg

from tests.support.live import Studio
from tests.support.processes import until

# In one transaction: a worker that is told of the deployment finds it live.
_DEPLOY = """
from django.db import transaction
from endpoints.models import State
from studio.accounts.models import User
from tests.support.serving import make_deployment, make_runnable
with transaction.atomic():
    make_runnable(make_deployment(User.objects.get(), state=State.LIVE), "serve")
"""


def serve_standin(studio: Studio) -> psutil.Process:
    """Deploy it and wait until it is ready. Returns its process."""
    studio.manage("shell", "-c", _DEPLOY)
    return replica_of(studio)


def replica_of(studio: Studio) -> psutil.Process:
    """The process of the one replica that is ready, waited for."""
    url = json.loads(studio.manage("status", "--json"))["database_url"]
    ready = "SELECT pid FROM endpoints_replica WHERE state = 'ready' AND pid IS NOT NULL"
    with psycopg.connect(url, autocommit=True) as connection:
        row = until(lambda: connection.execute(ready).fetchone(), "a replica is ready", 20)
    return psutil.Process(row[0])
