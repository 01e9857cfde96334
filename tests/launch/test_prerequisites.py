"""What the tests need of the machine is installed where that is allowed, and no test is skipped for want of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Debian's package of each program that tests start.
PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "nginx": "nginx",
    "node": "nodejs",
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "systemd-analyze": "systemd",
}


class Machine:
    """A machine with a few programs, whose apt-get tells what it is asked for and installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "asked"
        self.made = folder / "made"
        self.has("apt-get", f'echo "$@" >> {self.asked}')
        self.is_root()
        for name in ("chmod", "dirname", "env", "rm", "sh"):
            (folder / name).symlink_to(str(shutil.which(name)))

    def has(self, program: str, does: str = "exit 0") -> None:
        """On PATH; a PostgreSQL lies elsewhere, in a folder of its version."""
        path = self.folder / program
        if program == "postgres":
            path = self.folder / "postgresql" / "15" / "bin" / program
            path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    def is_root(self, yes: bool = True) -> None:
        self.has("id", f"echo {0 if yes else 1000}")

    def run(self, *command: str) -> set[str]:
        """What is asked of apt-get to install. Nothing outside the folder is changed."""
        env = {
            "PATH": str(self.folder),
            "POSTGRESQL_VERSIONS": str(self.folder / "postgresql"),
            "POLICY": str(self.folder / "policy-rc.d"),
        }
        done = subprocess.run(
            command, cwd=ROOT, env=env, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
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


@pytest.mark.parametrize("present", [None, *PACKAGES])
def test_what_is_missing_is_installed(machine: Machine, present: str | None) -> None:
    if present:
        machine.has(present)
    wanted = {package for program, package in PACKAGES.items() if program != present}
    assert machine.run(*make()) == wanted


def test_nothing_is_installed_where_all_is_there(machine: Machine) -> None:
    for program in PACKAGES:
        machine.has(program)
    assert machine.run(*make()) == set()
    assert not machine.asked.exists()


def test_another_browser_does_as_well(machine: Machine) -> None:
    machine.has("google-chrome")
    assert "chromium" not in machine.run(*make())


def test_only_root_installs(machine: Machine) -> None:
    machine.is_root(False)
    assert machine.run(*make()) == set()


def test_no_service_is_started_by_the_installation(machine: Machine) -> None:
    """Debian's packages start their servers, unless a policy forbids it for the time being."""
    policy = machine.folder / "policy-rc.d"
    machine.has("apt-get", f'[ "$1" = update ] || {policy} start; echo "$1 $?" >> {machine.asked}')
    machine.run(*make())
    assert machine.asked.read_text().splitlines() == ["update 0", "install 101"]
    assert not policy.exists()


def test_a_change_is_judged_by_make_once_that_is_there(machine: Machine) -> None:
    machine.has("make", f'echo "$@" >> {machine.made}')
    assert machine.run("/bin/sh", ".ci/run") == {"python3", "python3-venv", "git"}
    assert machine.made.read_text().splitlines() == ["check", "test"]
    machine.asked.unlink()
    for program in ("python3", "git"):
        machine.has(program)
    assert machine.run("/bin/sh", ".ci/run") == set()


def test_the_tests_are_preceded_by_the_installation() -> None:
    told = subprocess.run(
        [make()[0], "--dry-run", "--always-make", "test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = told.stdout.splitlines()
    [installs] = [number for number, line in enumerate(lines) if ".ci/programs" in line]
    [tests] = [number for number, line in enumerate(lines) if "-m pytest" in line]
    assert installs < tests
