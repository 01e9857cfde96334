"""What is in an environment besides packages, and what its build writes down: bytecode, and no secret."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from endpoints import environments
from endpoints.agent import spawning
from endpoints.environments import BuildFailed
from tests.support.builds import Builder, installed
from tests.support.index import Index, wheel


class TestSecrets:
    @pytest.mark.parametrize("login", ["ana:s3cret", "ana:s3cret@with:signs", "s3cret-token"])
    def test_the_login_of_an_index_is_used_and_never_told(
        self, pypi: Index, model: Path, monkeypatch: pytest.MonkeyPatch, login: str
    ) -> None:
        if login.startswith("ana:s3cret") and "@" not in login:
            pypi.password = "s3cret"  # noqa: S105 - of an index that lives as long as the test
        monkeypatch.setenv("UV_DEFAULT_INDEX", pypi.url(f"{login}@"))
        builder = Builder(model, "tiny")
        builder.build()
        assert installed(environments.folder(builder.key))["tiny"] == "2.0"
        wrong = Builder(model, "no-such-thing", "--extra-index-url " + pypi.url(f"{login}@"))
        with pytest.raises(BuildFailed) as failed:
            wrong.build()
        for told in (builder.told(), wrong.told(), failed.value.message, failed.value.detail):
            assert "s3cret" not in told

    @pytest.mark.parametrize(
        "line",
        [
            "tiny=1 @ http://ana:s3cret@127.0.0.1:1/tiny.whl",
            "tiny=1 @ http://ana:odd@s3cret@127.0.0.1:1/tiny.whl",
            "http://s3cret@127.0.0.1:1/tiny",
        ],
    )
    def test_a_login_in_a_line_that_uv_cannot_read_is_not_told(
        self, pypi: Index, model: Path, line: str
    ) -> None:
        builder = Builder(model, line)
        with pytest.raises(BuildFailed) as failed:
            builder.build()
        assert "http://127.0.0.1:1/tiny" in builder.told()
        for told in (builder.told(), failed.value.message, failed.value.detail):
            assert "s3cret" not in told

    def test_the_address_of_the_index_is_not_told(
        self, pypi: Index, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pypi.files["broken-1.0-py3-none-any.whl"] = b"no wheel"
        unknown = Builder(model, "no-such-thing", "--extra-index-url " + pypi.url("ana:s3cret@"))
        away = Builder(model, "tiny", "--index-url http://127.0.0.1:1/simple")
        for builder in (unknown, Builder(model, "broken"), away):
            if builder is away:
                monkeypatch.delenv("UV_DEFAULT_INDEX")
            with pytest.raises(BuildFailed) as failed:
                builder.build()
            for told in (builder.told(), failed.value.message, failed.value.detail):
                assert "127.0.0.1" not in told
                assert "/simple" not in told
                assert "/files" not in told
        assert "(the package index)" in failed.value.message

    def test_uv_gets_the_operators_index_and_nothing_of_studios(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("UV_INDEX_TEAM_PASSWORD", "SSL_CERT_FILE", "https_proxy", "DATABASE_URL"):
            monkeypatch.setenv(name, "set")
        monkeypatch.setenv("STUDIO_SECRET_KEY", "set")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "set")
        passed = environments._environment()
        assert {"UV_INDEX_TEAM_PASSWORD", "SSL_CERT_FILE", "https_proxy"} <= set(passed)
        assert not [name for name in passed if name.startswith(("STUDIO_", "MLFLOW_", "DATABASE"))]


class TestBytecode:
    """With MLflow itself: what a model server imports is compiled before the environment gets its name."""

    def test_a_start_finds_all_compiled_and_compiles_nothing_again(self, model: Path) -> None:
        builder = Builder(model, "mlflow-skinny==3.17.2", "cloudpickle", "pandas", "numpy")
        place = builder.build(("python_function",))
        compiled = bytecode_of(place)
        assert len(compiled) > 500
        assert re.search(r"^compiled in \d+\.\d s$", builder.told(), re.MULTILINE)
        code = "import mlflow.pyfunc, mlflow.pyfunc.scoring_server, uvicorn, model_server.scoring"
        environment = spawning.environment()
        assert "PYTHONDONTWRITEBYTECODE" not in environment
        subprocess.run([place / "bin" / "python", "-c", code], check=True, env=environment)
        assert bytecode_of(place) == compiled

    def test_what_cannot_be_imported_is_told_and_no_reason_to_fail(
        self, pypi: Index, model: Path
    ) -> None:
        builder = Builder(model, "tiny")
        place = builder.build(("tiny",))
        assert "not compiled: mlflow.pyfunc (No module named 'mlflow')" in builder.log
        assert list(place.glob("lib/python*/site-packages/__pycache__/tiny.*.pyc"))

    def test_an_import_that_does_not_end_is_ended(
        self, pypi: Index, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environments, "_TICK", 0.1)
        monkeypatch.setattr(environments, "_BYTECODE_PATIENCE", 0.5)
        name, _ = wheel("slow-1.0")
        pypi.files[name] = wheel("slow-1.0", code="import time; time.sleep(60)")[1]
        builder = Builder(model, "slow")
        started = time.monotonic()
        place = builder.build(("slow",))
        assert place.exists()
        assert time.monotonic() - started < 20
        assert "not compiled: Command 'python' timed out after 0.5 seconds" in builder.log


def bytecode_of(place: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in place.rglob("*.pyc")}
