"""docs/deploy/: what an administrator copies fits what is there. (The proxy is run by tests/hosts/.)"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from endpoints.gateway.serving import KEEP_ALIVE
from tests.support.hosts import rights_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
README = (DEPLOY / "README.md").read_text()
UNITS = sorted((DEPLOY / "systemd").iterdir())
INSTALLED = "/opt/mlflow-studio"
PROCESSES = ["reference", "web", "gateway", "agent", "worker", "beat"]


_WITH_MODELS = ("studio", "studio-agent", "studio-models@")
# What the agent does with a child, by its own code.
_AS_NOBODY = """
import subprocess, signal, sys
from pathlib import Path
import django
django.setup()
from endpoints.agent.accounts import Account
from studio.lib.processes import Identity
account, folder = Account(2_100_000_007, 2_100_000_007), Path(sys.argv[1]) / "own"
folder.mkdir()
account.own(folder)
sleeping = account.command(["sleep", "30"])
child = subprocess.Popen(sleeping, start_new_session=True, **account.options())
identity = Identity.of(child.pid)
status = Path(f"/proc/{child.pid}/status").read_text()
print(status.split("Uid:")[1].split()[1])
print("measured" if "Pss:" in Path(f"/proc/{child.pid}/smaps_rollup").read_text() else "")
identity.kill_group(signal.SIGKILL)
print(child.wait())
"""


def assert_is_command(arguments: list[str]) -> None:
    """`manage.py` with these takes them."""
    name, *rest = arguments
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(rest)


def value_of(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def instances(unit: Path) -> list[str]:
    """The names of a template's instances that README.md starts; of a unit that is none, its own."""
    stem = unit.name.removesuffix(".service")
    if not stem.endswith("@"):
        return [stem]
    return sorted(set(re.findall(rf"\b{stem}[a-z]+\b", README)))


def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    assert program, "the tests need systemd-analyze: run 'apt-get install systemd' as root"
    made = []
    for unit in UNITS:
        # As if it were installed; else only that the program is missing would be told.
        text = unit.read_text().replace(f"{INSTALLED}/.venv/bin/python", "/bin/true")
        for name in instances(unit):
            made.append(tmp_path / f"{name}.service")
            made[-1].write_text(text.replace(INSTALLED, str(ROOT)))
    done = subprocess.run(
        [program, "verify", "--man=no", *made], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(made) >= len(UNITS) + 5


def test_every_process_has_a_unit_that_starts_it() -> None:
    started = set()
    for unit in UNITS:
        [command] = value_of(unit.read_text(), "ExecStart")
        for name in instances(unit):
            line = command.replace("%i", name.rpartition("@")[2])
            program, script, *arguments = line.split()
            assert (program, script) == (f"{INSTALLED}/.venv/bin/python", "manage.py")
            assert_is_command(arguments)
            started.add(arguments[-1])
    assert started == {*PROCESSES, "up", "prepare"}


def test_a_crash_ends_no_model_server_and_a_stop_has_time_for_them_all() -> None:
    for unit in UNITS:
        text = unit.read_text()
        owns_models = "manage.py up" in text or "run agent" in text
        if "studio-prepare" not in unit.name:
            assert value_of(text, "KillMode") == ["process" if owns_models else "mixed"]
            assert int(value_of(text, "TimeoutStopSec")[0].rstrip("s")) >= 20
            assert "always" in value_of(text, "Restart") or owns_models
        assert value_of(text, "ProtectSystem") == ["strict"]
        assert value_of(text, "StateDirectory") == ["mlflow-studio"]  # STUDIO_HOME of root


def test_a_unit_of_another_account_than_root_has_its_home_where_it_may_write() -> None:
    """Else it is below the account's own, which ProtectHome closes. The settings may still name another."""
    homes = {}
    for unit in UNITS:
        text = unit.read_text()
        if value_of(text, "User"):
            homes[unit.name] = value_of(text, "Environment")
            assert text.index("\nEnvironment=") < text.index("\nEnvironmentFile=")
    assert homes == {"studio@.service": ["STUDIO_HOME=/var/lib/mlflow-studio"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to leave to anybody")
def test_the_rights_that_are_left_let_a_model_be_nobody_and_be_watched(tmp_path: Path) -> None:
    units = [(DEPLOY / "systemd" / f"{name}.service").read_text() for name in _WITH_MODELS]
    [before] = {tuple(rights_of(unit)) for unit in units}
    done = subprocess.run(
        [*before, sys.executable, "-c", _AS_NOBODY, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"STUDIO_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2100000007", "measured", "-9"]


def test_every_command_of_the_readme_is_one() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    run = [line.split()[2:] for line in lines if line.startswith(".venv/bin/python manage.py ")]
    run += [told.split() for told in re.findall(r"`manage\.py ([a-z][a-z -]*[a-z])`", README)]
    for arguments in run:
        assert_is_command(arguments)
    assert [words[1] for words in run if words[0] == "run"] == [
        "web", "reference", "gateway", "worker", "beat", "agent",
    ]  # fmt: skip
    make = [line.split()[1] for line in lines if line.startswith("make ")]
    assert make == [".venv/server.stamp"]
    for line in lines:
        if line.startswith("cp "):
            assert all((ROOT / name).is_file() for name in line.split()[1:-1]), line


def test_what_the_documents_name_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (DEPLOY / target).exists(), target
    code = (ROOT / "studio" / "settings.py").read_text()
    known = set(re.findall(r'"((?:STUDIO_[A-Z_]+)|DATABASE_URL|REDIS_URL)"', code))
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            named = set(re.findall(r"\bSTUDIO_[A-Z_]+\b", path.read_text()))
            assert named <= known, path


def test_nginx_lets_go_of_a_kept_connection_before_studio_does() -> None:
    """Else a request may meet its end on the way; and nginx sends no POST twice."""
    text = (DEPLOY / "nginx.conf").read_text()
    kept = {
        name: int(seconds)
        for name, seconds in re.findall(
            r"upstream (\w+) \{.*?keepalive_timeout (\d+)s;", text, re.DOTALL
        )
    }
    assert kept["studio_web"] < 30  # granian's patience for the next head
    assert kept["studio_gateway"] < KEEP_ALIVE


def instructions() -> list[tuple[str, str]]:
    """Of the Containerfile: word and rest, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def test_the_image_has_all_of_the_product_and_nothing_runs_as_root() -> None:
    found = instructions()
    copied = [rest.split()[0] for word, rest in found if word == "COPY" and "--from" not in rest]
    for name in copied:
        assert (ROOT / name).exists(), name
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert {*packages, "templates", "static", "manage.py", "requirements/server.txt"} <= {*copied}
    words = [word for word, _ in found]
    final = found[len(words) - words[::-1].index("FROM") - 1 :]
    told = dict(final)
    assert told["USER"] == "10001:10001"
    assert not [
        rest for word, rest in final[[w for w, _ in final].index("USER") :] if word == "RUN"
    ]
    assert "STUDIO_HOME=/var/lib/mlflow-studio" in told["ENV"].split()
    assert json.loads(told["VOLUME"]) == ["/var/lib/mlflow-studio"]
    assert told["EXPOSE"].split() == ["8000", "8001"]
    program, script = json.loads(told["ENTRYPOINT"])
    assert (program, script) == (f"{told['WORKDIR']}/.venv/bin/python", "manage.py")
    assert_is_command(json.loads(told["CMD"]))


@pytest.fixture
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def test_compose_runs_what_there_is_and_shares_what_must_be_shared(compose: dict[str, Any]) -> None:
    services = compose["services"]
    ours = {name: one for name, one in services.items() if one["image"] == "mlflow-studio"}
    assert {name: one["command"] for name, one in ours.items()} == {
        "studio": ["up"],
        "web": ["run", "web"],
        "reference": ["run", "reference"],
    }
    for one in ours.values():
        assert_is_command(one["command"])
        assert (DEPLOY / one["build"]["context"] / one["build"]["dockerfile"]).is_file()
        given = one["environment"]
        assert {"DATABASE_URL", "REDIS_URL", "STUDIO_ARTIFACTS", "STUDIO_PUBLIC_URL"} <= {*given}
        assert f"artifacts:{given['STUDIO_ARTIFACTS']}" in one["volumes"]
        assert given["STUDIO_TRUSTED_PROXIES"] == compose["networks"]["inside"]["ipam"]["config"][0]["subnet"]  # fmt: skip
    assert {one["restart"] for one in services.values()} == {"unless-stopped"}
    assert {name: one["hostname"] for name, one in ours.items()} == {name: name for name in ours}
    homes = {name: one["volumes"][0] for name, one in ours.items()}
    assert homes["web"] == homes["reference"] != homes["studio"]
    named = {
        mount.partition(":")[0]
        for one in services.values()
        for mount in one.get("volumes", [])
        if not mount.startswith(".")
    }
    assert named == set(compose["volumes"])
    assert [name for name, one in services.items() if "ports" in one] == ["proxy"]
