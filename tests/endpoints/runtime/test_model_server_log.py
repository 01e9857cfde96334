"""What a model prints is in its log at once, and lost where the disk takes no more: it never fails the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from endpoints.agent.spawning import RUNTIME

PRINTS = f"""
import sys
sys.path.insert(0, {str(RUNTIME)!r})
from model_server import log
log.configure()
print("a line", "of text " * 2000)
print("größe", file=sys.stderr)
sys.stdout.write("no end")
sys.stdout.flush()
open(sys.argv[1], "w").write("served")
"""


def run(output: Path, done: Path) -> int:
    with output.open("ab") as log:
        command = [sys.executable, "-X", "utf8", "-c", PRINTS, str(done)]
        return subprocess.run(command, stdout=log, stderr=log, check=False).returncode


def test_what_is_printed_stands_in_the_log_in_its_order(tmp_path: Path) -> None:
    assert run(tmp_path / "log", tmp_path / "done") == 0
    first, second, third = (tmp_path / "log").read_text().split("\n")
    assert first == "a line " + "of text " * 2000
    assert (second, third) == ("größe", "no end")


def test_on_a_full_disk_it_is_lost_and_the_model_goes_on(tmp_path: Path) -> None:
    assert run(Path("/dev/full"), tmp_path / "done") == 0
    assert (tmp_path / "done").read_text() == "served"
