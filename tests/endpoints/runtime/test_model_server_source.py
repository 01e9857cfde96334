"""What holds for every file of the model server."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.endpoints.runtime.model_server_kit import RUNTIME

FILES = sorted(RUNTIME.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_nothing_of_studio(path: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    ours = {folder.name for folder in RUNTIME.parents[1].iterdir() if folder.is_dir()}
    assert not imported & ({"django"} | ours)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


def test_only_the_package_is_on_the_servers_path() -> None:
    """PYTHONPATH is inherited by the model's environment: nothing else may hide there."""
    found = {path.name for path in RUNTIME.iterdir()} - {"__pycache__"}
    assert found == {"model_server"}
