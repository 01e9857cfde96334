"""The shape of the code: who may import whom, how long a file may be, and what a template may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
# Each may import those after it, and itself.
LAYERS = [
    "endpoints",
    "registry",
    "tracking",
    "studio.lane",
    "studio.mlflow",
    "studio.accounts",
    "studio.lib",
]
# Each is there for all above it, whole.
TOOLS = {"studio.lane", "studio.lib"}
# What one app shows another.
OPEN = {"models", "query", "access", "permissions", "services", "signals", "guards"}
EXCEPTIONS = {
    # What a model's files say is the registry's knowledge; endpoints serve by it.
    "registry.mlmodel",
    # The page of who may do what is one for all.
    "studio.accounts.sharing",
}
# Put everything together: they may import every app, and no app imports them.
STUDIO_ROOT = {
    "api", "backup", "beat", "celery", "context", "express", "find", "health", "home", "http", "importing", "launch", "settings",
    "static", "templatetags", "urls", "wsgi",
}  # fmt: skip
LONGEST = 400


class Import(NamedTuple):
    """`module` is imported in the file `where`, a path below the root."""

    where: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line} imports {self.module}"


def files_in_git(*endings: str) -> list[Path]:
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if told.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in told.stdout.decode().split("\0") if name.endswith(endings)]
    return [path for path in (ROOT / name for name in names) if path.exists()]


def sources() -> list[Path]:
    """Python files of the product: not the tests, not the runtime that runs elsewhere."""
    folders = ("studio", "tracking", "registry", "endpoints")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "endpoints/runtime/" not in path.as_posix()]


def imports_of(source: str, where: str) -> Iterator[Import]:
    """Every import of a file, those in functions too. `from a import b` counts as a and as a.b."""
    package = where.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(where, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield Import(where, node.lineno, name if is_module(name) else base)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def all_imports() -> list[Import]:
    return [
        found
        for path in sources()
        for found in imports_of(path.read_text(), path.relative_to(ROOT).as_posix())
    ]


def layer_of(module: str) -> str:
    """The layer that a module or file belongs to: "" for one that belongs to none."""
    dotted = module.removesuffix(".py").replace("/", ".") + "."
    return next((layer for layer in LAYERS if dotted.startswith(f"{layer}.")), "")


def goes_the_wrong_way(found: Import) -> bool:
    here, there = layer_of(found.where), layer_of(found.module)
    if here and there:
        return LAYERS.index(there) < LAYERS.index(here)
    return (
        bool(here)
        and found.module.split(".")[0] in ("studio", "tests")
        and found.module != "studio"
    )


def enters_by_the_wrong_door(found: Import) -> bool:
    here, there = layer_of(found.where), layer_of(found.module)
    if not here or not there or here == there or there in TOOLS:
        return False
    inside = found.module.removeprefix(there).lstrip(".").split(".")[0]
    return found.module not in EXCEPTIONS and inside not in OPEN


def test_imports_run_one_way() -> None:
    assert [str(found) for found in all_imports() if goes_the_wrong_way(found)] == []


def test_apps_show_each_other_only_what_is_meant_to_be_seen() -> None:
    assert [str(found) for found in all_imports() if enters_by_the_wrong_door(found)] == []


def test_every_exception_is_still_needed() -> None:
    used = {found.module for found in all_imports() if layer_of(found.where) == "endpoints"}
    assert used >= EXCEPTIONS


def test_what_lies_in_studio_itself_is_known() -> None:
    found = {path.stem for path in (ROOT / "studio").iterdir() if not path.name.startswith("__")}
    assert found - {"accounts", "lane", "lib", "mlflow"} == STUDIO_ROOT


@pytest.mark.parametrize(
    ("where", "line", "wrong"),
    [
        ("tracking/query.py", "from registry.models import Model", True),
        ("tracking/query.py", "def f():\n    import endpoints.services", True),
        ("tracking/query.py", "from studio import find", True),
        ("tracking/query.py", "from studio.http import POLICY", True),
        ("tracking/query.py", "from studio.settings import HOME", True),
        ("tracking/query.py", "import studio.celery", True),
        ("studio/lib/text.py", "from studio.accounts.models import User", True),
        ("studio/accounts/models.py", "from studio.mlflow import schema", True),
        ("studio/accounts/models.py", "from ..mlflow import schema", True),
        ("studio/mlflow/forward.py", "from tracking.models import Run", True),
        ("studio/lane/wires.py", "from tracking.models import Run", True),
        ("endpoints/views.py", "from tests.support import rows", True),
        ("endpoints/views.py", "from registry.models import Model", False),
        ("endpoints/views.py", "from studio.lib.errors import NotFound", False),
        ("registry/views.py", "from . import query", False),
        ("studio/find.py", "from endpoints import access", False),
        ("studio/launch/up.py", "from studio.accounts.models import User", False),
    ],
)
def test_a_wrong_import_would_be_seen(where: str, line: str, wrong: bool) -> None:
    assert any(map(goes_the_wrong_way, imports_of(line, where))) is wrong


@pytest.mark.parametrize(
    ("where", "line", "wrong"),
    [
        ("endpoints/views.py", "from registry.views import models", True),
        ("endpoints/views.py", "from registry import forms", True),
        ("endpoints/views.py", "import tracking.search", True),
        ("registry/services.py", "from studio.mlflow.upstream import client", True),
        ("endpoints/views.py", "from registry import access, query", False),
        ("endpoints/views.py", "from registry.mlmodel import read", False),
        ("tracking/views.py", "from studio.lib import artifacts", False),
        ("registry/lane/routes.py", "from studio.lane.asked import Asked", False),
        ("tracking/views.py", "from tracking.search import Search", False),
    ],
)
def test_a_wrong_door_would_be_seen(where: str, line: str, wrong: bool) -> None:
    assert any(map(enters_by_the_wrong_door, imports_of(line, where))) is wrong


def test_no_file_is_too_long() -> None:
    long = {}
    for path in files_in_git(".py", ".js", ".mjs", ".html", ".css"):
        if (lines := len(path.read_text().splitlines())) > LONGEST:
            long[path.relative_to(ROOT).as_posix()] = lines
    assert long == {}


TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
CODE_OR_STYLE = re.compile(
    r"<style|\sstyle\s*=|\son[a-z]+\s*=|<script(?![^>]*\ssrc=)|javascript:|\shx-on[:-]",
    re.IGNORECASE,
)


def test_templates_hold_no_code_and_no_styling() -> None:
    assert TEMPLATES
    found = {path.name: CODE_OR_STYLE.findall(path.read_text()) for path in TEMPLATES}
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<style>a{}</style>", True),
        ('<p style="color: red">', True),
        ("<p\n  onclick='x()'>", True),
        ("<script>alert(1)</script>", True),
        ('<script type="module">', True),
        ('<a href="javascript:x()">', True),
        ('<p hx-on:click="x()">', True),
        ('<script src="/static/a.js" type="module"></script>', False),
        ('<p class="lifestyle" data-only="1">once = 2</p>', False),
    ],
)
def test_code_in_a_template_would_be_seen(text: str, found: bool) -> None:
    assert bool(CODE_OR_STYLE.search(text)) is found


@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if path.name.startswith("_")], ids=lambda path: path.name
)
def test_a_fragment_says_first_what_it_is(path: Path) -> None:
    assert re.match(r"\{# .+ #\}\n", path.read_text())
