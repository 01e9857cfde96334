"""An endpoint that was live when the backup was taken predicts again after the restore, without a click."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from pytest_django.fixtures import Settings

from endpoints import services
from endpoints.models import Attempt, Deployment, State
from studio.accounts.models import User
from studio.lib.home import Home
from tests.studio.backup.conftest import Take
from tests.studio.backup.kit import manage
from tests.support import prebuilt
from tests.support.live import environment, studio
from tests.support.processes import free_port, until
from tests.support.serving import deploy, make_endpoint, make_replica


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_predicts_again(
    back_up: Take, alice: User, settings: Settings, tmp_path: Path
) -> None:
    mood = tmp_path / "mood"
    mood.write_text("is fine")
    endpoint = make_endpoint(alice, "again")
    deployment = deploy(alice, prebuilt.make_model("tiny", mood=mood), endpoint)
    Deployment.objects.update(state=State.LIVE, traffic=100, environment="of elsewhere")
    make_replica(deployment, pid=1, pid_started=1.0, address="/elsewhere.sock")
    key = services.primary_key(endpoint)
    made = back_up()

    home = Home(tmp_path / "home")
    tmp_path.chmod(0o711)  # models run under accounts of their own
    more = environment(home.root, free_port(), free_port())
    assert "1 deployment will be built and started again" in manage(
        "restore", str(made.root), more=more
    )
    settings.HOME = home
    prebuilt.make_environment()
    with studio(home=home.root) as restored:
        address = f"{restored.scoring_url}/endpoints/again/invocations"

        def predicts() -> bool:
            headers = {"Authorization": f"Bearer {key}"}
            answer = httpx.post(address, headers=headers, json={"inputs": [1, 2]})
            return answer.status_code == 200 and answer.json() == {"predictions": [1.0, 1.0]}

        until(predicts, "the endpoint predicts again", 60)
        assert httpx.get(f"{restored.url}/healthz").status_code == 200
    assert Attempt.objects.count() == 1  # the original is as it was
