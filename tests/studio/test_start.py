"""A setting that cannot be right ends every process of Studio alike: one line that names it, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.live import ROOT

CELERY = ["-m", "celery", "--app=studio", "--quiet"]
WEB = ["-m", "granian", "--interface=wsgi", "--log-level=critical", "studio.wsgi:application"]
PROCESSES = {
    "up": ["manage.py", "up"],
    "prepare": ["manage.py", "prepare"],
    "status": ["manage.py", "status"],
    "token": ["manage.py", "token", "--user=admin", "--name=x"],
    "run": ["manage.py", "run", "web"],
    "reference": ["-m", "studio.mlflow.serve"],
    "gateway": ["-m", "endpoints.gateway"],
    "agent": ["-m", "endpoints.agent"],
    "worker": [*CELERY, "worker"],
    "beat": [*CELERY, "beat"],
    "web": WEB,
}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_typo_ends_every_process_with_one_line(tmp_path: Path, name: str) -> None:
    own = {"STUDIO_HOME": str(tmp_path), "STUDIO_PROT": "8000"}
    done = subprocess.run(
        [sys.executable, *PROCESSES[name]],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = set(done.stderr.splitlines())  # of web each worker says it
    assert lines == {
        "Studio cannot start: STUDIO_PROT: there is no such setting; did you mean STUDIO_PORT?"
    }
    assert (done.returncode, done.stdout) == (1, "")
    assert list(tmp_path.iterdir()) == []
