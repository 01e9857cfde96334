"""The Python interpreters that this machine has, and which of them is taken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from endpoints import interpreters


def test_studios_own_is_found_outside_its_virtual_environment() -> None:
    minor, path = interpreters.own()
    assert minor == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert path.is_file()
    assert not path.is_relative_to(sys.prefix)


def test_studios_own_goes_before_others_of_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    minor, path = interpreters.own()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert interpreters.find.__wrapped__(minor) == path


def test_as_root_one_that_others_reach_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models then run under accounts of their own, which a folder of root's keeps out."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    reached = Path("/usr/bin/env").resolve()
    own = private / "python"
    shutil.copy(sys.executable, own)
    minor = interpreters.own()[0]
    monkeypatch.setattr(interpreters, "own", lambda: (minor, own))
    monkeypatch.setattr(interpreters, "_PLACES", (str(private / "gone{}"), str(reached)))
    monkeypatch.setattr(interpreters, "_runs", lambda path, minor: True)
    assert not interpreters.open_to_others(own)
    assert interpreters.find.__wrapped__(minor) == reached
    monkeypatch.setattr(interpreters, "_runs", lambda path, minor: False)
    assert interpreters.find.__wrapped__(minor) == own


def test_what_there_is_can_be_told() -> None:
    found = interpreters.minors()
    assert interpreters.own()[0] in found
    assert found == sorted(found, key=lambda minor: int(minor.split(".")[1]))
    assert "3.0" not in found


def test_another_minor_version_of_this_machine_really_runs() -> None:
    installed = {
        ".".join(path.name.split(".")[:2])
        for path in Path("~/.pyenv/versions").expanduser().glob("3.*")
    }
    others = sorted(installed - {interpreters.own()[0]})
    if not others:
        pytest.skip("this machine has one Python only")
    found = interpreters.find(others[-1])
    assert found is not None
    assert "shims" not in found.parts
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"Python {others[-1]}.")


def test_one_that_does_not_run_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyenv's shims are on the path, and exit 127 for versions that are not switched on."""
    shim = tmp_path / "python3.98"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert interpreters.find("3.98") is None


def test_one_that_this_machine_has_not_is_none() -> None:
    assert interpreters.find("3.99") is None
