"""docs/settings.md tells every setting, its true default, and refusals as they really are."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from studio.lib.env import DEFAULTS
from studio.lib.home import default_home
from tests.support.settings import read_settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()
CODE = (ROOT / "studio" / "settings.py").read_text()
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
REFUSED = re.findall(r"```text\n(\w+)=(.*)\nStudio cannot start: (.*)\n```", PAGE)
READERS = {
    "every process", "up", "prepare", "web", "reference", "gateway",
    "agent", "worker", "beat", "token and other commands", "and whoever seals or opens a key",
}  # fmt: skip


def test_every_setting_is_told_and_nothing_else() -> None:
    read = set(re.findall(r'\benv_\w+\(\s*"(\w+)"', CODE))
    assert read == SECTIONS.keys()


def test_the_defaults_are_the_true_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    read_settings(monkeypatch, STUDIO_HOME=home)
    for name in SECTIONS:
        default = DEFAULTS[name]
        [told] = re.findall(r"^- Default: (.*)$", SECTIONS[name], re.MULTILINE)
        if name == "STUDIO_HOME":
            default = str(default_home()).replace(str(Path.home()), "~", os.geteuid() != 0)
            assert f"`{default}`" in told
        elif default:
            assert re.match(rf"`{re.escape(default.replace(home, 'STUDIO_HOME'))}`", told), name
        else:
            assert told.startswith("none"), name


def test_who_uses_a_setting_is_told_by_the_names_of_processes() -> None:
    for name, section in SECTIONS.items():
        [told] = re.findall(r"^- Used by: (.*)$", section, re.MULTILINE)
        assert {*told.split(", ")} <= READERS, name


@pytest.mark.parametrize(("name", "value", "told"), REFUSED)
def test_a_refusal_reads_as_the_page_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, told: str
) -> None:
    given = {"STUDIO_HOME": str(tmp_path / "home"), name: value}
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_settings(monkeypatch, **given)
    assert str(refusal.value) == told


def test_every_setting_that_can_be_refused_when_it_is_read_shows_how() -> None:
    tried = {
        "STUDIO_ADMIN_USERNAME",
        "STUDIO_ADMIN_PASSWORD",
    }  # by `up`: tests/launch/test_before.py
    assert {name for name, _, _ in REFUSED} - {"STUDIO_PROT"} == SECTIONS.keys() - tried
