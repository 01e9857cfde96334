"""What the tests need of the machine is installed where that is allowed, and no test is skipped for want of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Debian's package of each program that tests start.
PACKAGES = {"chromium": "chromium", "curl": "curl", "node": "nodejs"}


class Machine:
    """A machine with a few programs, whose apt-get tells what it is asked for and installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "asked"
        self.has("apt-get", f'echo "$@" >> {self.asked}; [ "$1" = update ]')
        self.is_root()
        for name in ("dirname", "env"):
            (folder / name).symlink_to(str(shutil.which(name)))

    def has(self, program: str, does: str = "exit 0") -> None:
        path = self.folder / program
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    def is_root(self, yes: bool = True) -> None:
        self.has("id", f"echo {0 if yes else 1000}")

    def run(self, *command: str) -> set[str]:
        """What is asked of apt-get to install."""
        env = {"PATH": str(self.folder)}
        subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True)
        lines = self.asked.read_text().splitlines() if self.asked.exists() else []
        installs = [line.split() for line in lines if line.startswith("install")]
        return {word for words in installs for word in words[1:] if not word.startswith("-")}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def make() -> list[str]:
    program = shutil.which("make")
    assert program, "the tests are run by make"
    return [program, "programs"]


def ci(machine: Machine) -> list[str]:
    for program in ("python3", "make", "git"):
        machine.has(program)
    return ["/bin/sh", ".ci/run"]


@pytest.mark.parametrize("present", [None, *PACKAGES])
@pytest.mark.parametrize("by_ci", [True, False])
def test_what_is_missing_is_installed(machine: Machine, by_ci: bool, present: str | None) -> None:
    if present:
        machine.has(present)
    wanted = {package for program, package in PACKAGES.items() if program != present}
    assert machine.run(*(ci(machine) if by_ci else make())) == wanted


def test_nothing_is_installed_where_all_is_there(machine: Machine) -> None:
    for program in PACKAGES:
        machine.has(program)
    assert machine.run(*make()) == set()


def test_only_root_installs(machine: Machine) -> None:
    machine.is_root(False)
    assert machine.run(*make()) == set()
