"""One Studio for all that is killed here."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.endpoints.kill.world import ROWS, World
from tests.support import prebuilt
from tests.support.index import index, wheel
from tests.support.live import studio
from tests.support.load import load
from tests.support.processes import until


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with index("tiny-1.0", "tiny-2.0", "roomy-1.0") as served:
        served.files.update([wheel("needy-1.0", requires=["tiny==2.0"])])
        prebuilt.offer_own(served)
        more = {
            "DJANGO_SETTINGS_MODULE": "tests.support.redelivery",
            "UV_DEFAULT_INDEX": served.url(),
            "UV_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        }
        with studio(more=more) as started:
            key = started.manage("shell", "--verbosity=0", "-c", ROWS).split()[-1]
            address = f"{started.scoring_url}/endpoints/other/invocations"
            until(lambda: _scores(address, key), "the other endpoint scores")
            with started.client(started.token()) as api, load(address, key) as going:
                status = json.loads(started.manage("status", "--json"))
                found = World(started, api, going, served, status)
                place = found.deploy("kept")
                until(lambda: found.live(place), "the first of the victims is live", 60)
                yield found


def _scores(address: str, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(address, headers=headers, json={}).status_code == 200
