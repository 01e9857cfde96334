"""What a model's files ask of its environment, and the interpreters that there are for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints import requirements
from endpoints.requirements import Requirements
from studio.lib.errors import Unservable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, python: str = "3.11.7", **files: str) -> Requirements:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return requirements.read(folder, "3.17.2", python)


class TestLines:
    def test_a_requirements_file_is_taken_line_by_line(self, folder: Path) -> None:
        found = read(
            folder, requirements__txt="mlflow==2.22\nscikit-learn==1.4 ; python_version > '3'\n"
        )
        assert found.lines == ("mlflow==2.22", "scikit-learn==1.4 ; python_version > '3'")

    def test_comments_and_empty_lines_ask_for_nothing(self, folder: Path) -> None:
        found = read(
            folder, requirements__txt="# made by hand\n\n  mlflow  \n   # more\n\t\nnumpy\n"
        )
        assert found.lines == ("mlflow", "numpy")

    @pytest.mark.parametrize(
        "line", ["mlflow", "mlflow==2.21.0", "mlflow-skinny>=3", "MLflow[extras]<4"]
    )
    def test_an_mlflow_that_is_asked_for_is_kept_alone(self, folder: Path, line: str) -> None:
        assert read(folder, requirements__txt=f"numpy\n{line}\n").lines == ("numpy", line)

    @pytest.mark.parametrize(
        "line", ["numpy", "mlflow-export-import==1.0", "mlflowers", "my-mlflow"]
    )
    def test_without_one_the_mlflow_that_logged_the_model_is_added(
        self, folder: Path, line: str
    ) -> None:
        assert read(folder, requirements__txt=line).lines == (line, "mlflow==3.17.2")

    @pytest.mark.parametrize(
        "line", ["mlflow==2.0.1", "mlflow-skinny==2.9.2", "mlflow == 2.13", "MLflow==2.20.4"]
    )
    def test_an_old_mlflow_gets_what_it_imports_and_does_not_bring(
        self, folder: Path, line: str
    ) -> None:
        found = read(folder, requirements__txt=line).lines
        assert found == (line, "flask", "setuptools<81")

    @pytest.mark.parametrize(
        ("line", "logged_with", "old"),
        [
            ("mlflow[extras]==2.9.2", "", True),
            ("mlflow-skinny[databricks] == 2.20.4 ; python_version > '3'", "", True),
            ("mlflow>=2.0,<2.10", "3.1.0", True),
            ("mlflow<2.21", "3.1.0", True),
            ("mlflow~=2.9.1", "3.1.0", True),
            ("mlflow==2.9.*", "3.1.0", True),
            ("mlflow==2.9.2 --hash=sha256:" + "0" * 64, "3.1.0", True),
            ("mlflow==2.9.2  # of the team", "3.1.0", True),
            ("mlflow", "2.9.2", True),
            ("mlflow[extras]", "2.20.0", True),
            ("mlflow>=2", "2.9.2", True),
            ("mlflow<3", "2.9.2", True),
            ("mlflow!=2.10", "2.9.2", True),
            ("mlflow @ https://example.org/mlflow.zip", "2.9.2", True),
            ("numpy", "2.9.2", True),
            ("mlflow==2.21", "2.9.2", False),
            ("mlflow[extras]==3.17.2", "2.9.2", False),
            ("mlflow==3.*", "2.9.2", False),
            ("mlflow~=3.1", "2.9.2", False),
            ("mlflow>=2.21", "2.9.2", False),
            ("mlflow==3.0.0rc1", "2.9.2", False),
            ("mlflow<3", "2.21.3", False),
            ("mlflow>=2.0", "3.1.0", False),
            ("mlflow", "2.100.0", False),
            ("mlflow", "of a branch", False),
            ("mlflow", "", False),
        ],
    )
    def test_which_mlflow_is_old_is_told_by_its_line_or_else_by_the_model(
        self, folder: Path, line: str, logged_with: str, old: bool
    ) -> None:
        (folder / "requirements.txt").write_text(line)
        assert ("flask" in requirements.read(folder, logged_with, "").lines) is old

    def test_constraints_tell_it_too(self, folder: Path) -> None:
        asked = {
            "requirements.txt": "mlflow\n-c constraints.txt",
            "constraints.txt": "mlflow==2.9.2",
        }
        assert read(folder, **asked).lines == ("mlflow", "flask", "setuptools<81")

    @pytest.mark.parametrize(
        ("line", "taken"),
        [
            ("-e ./package", "./package"),
            ("--editable=package/", "package/"),
            ("-e own @ file:package", "own @ file:package"),
            ("-e git+https://example.org/own#egg=own", "-e git+https://example.org/own#egg=own"),
        ],
    )
    def test_the_models_own_package_is_installed_and_not_linked(
        self, folder: Path, line: str, taken: str
    ) -> None:
        assert read(folder, requirements__txt=f"mlflow\n{line}\n").lines == ("mlflow", taken)

    def test_a_model_that_does_not_tell_its_mlflow_gets_any(self, folder: Path) -> None:
        assert requirements.read(folder, "", "").lines == ("mlflow",)

    def test_the_pip_section_of_a_conda_file_is_taken_where_there_is_no_other(
        self, folder: Path
    ) -> None:
        conda = "dependencies:\n- python=3.9.1\n- pip<=23\n- pip:\n  - mlflow<3\n  - xgboost==1.7\n"
        assert read(folder, conda__yaml=conda).lines == ("mlflow<3", "xgboost==1.7")

    def test_a_requirements_file_goes_before_the_pip_section(self, folder: Path) -> None:
        conda = "dependencies:\n- pip:\n  - xgboost\n"
        assert read(folder, conda__yaml=conda, requirements__txt="mlflow\n").lines == ("mlflow",)

    def test_constraints_are_kept_apart(self, folder: Path) -> None:
        found = read(
            folder,
            requirements__txt="mlflow\nscikit-learn\n-c constraints.txt\n",
            constraints__txt="# of the team\nnumpy<2\n",
        )
        assert found.lines == ("mlflow", "scikit-learn")
        assert found.constraints == ("numpy<2",)

    def test_a_constraints_file_that_nobody_names_is_not_read(self, folder: Path) -> None:
        found = read(folder, requirements__txt="mlflow\n", constraints__txt="numpy<2\n")
        assert found.constraints == ()


class TestRefusals:
    @pytest.mark.parametrize(
        "dependency", ["cudatoolkit=11", "conda-forge::openblas", "pythonnet", "r-base >=4"]
    )
    def test_what_only_conda_installs_is_named(self, folder: Path, dependency: str) -> None:
        conda = f"dependencies:\n- python=3.11\n- {dependency}\n- pip:\n  - mlflow\n"
        with pytest.raises(Unservable) as refused:
            read(folder, conda__yaml=conda, requirements__txt="mlflow\n")
        assert dependency in refused.value.message
        assert "from conda" in refused.value.message

    @pytest.mark.parametrize(
        ("entry", "named"),
        [
            ("{conda: [cudatoolkit]}", "cudatoolkit"),
            ("{npm: [left-pad], pip: [mlflow]}", "left-pad"),
            ("conda-forge::xgboost=1.7", "conda-forge::xgboost=1.7"),
            ("conda-forge/linux-64::xgboost", "conda-forge/linux-64::xgboost"),
            ("'openblas[version=1]'", "openblas"),
            ("pip-tools", "pip-tools"),
            ("python-graphviz", "python-graphviz"),
        ],
    )
    def test_every_way_to_ask_conda_is_refused_with_its_name(
        self, folder: Path, entry: str, named: str
    ) -> None:
        with pytest.raises(Unservable, match="from conda") as refused:
            read(folder, conda__yaml=f"dependencies:\n- python=3.11\n- {entry}\n")
        assert named in refused.value.message

    def test_an_empty_entry_asks_for_nothing(self, folder: Path) -> None:
        conda = "dependencies:\n-\n- {pip: }\n- {}\n"
        assert read(folder, conda__yaml=conda).lines == ("mlflow==3.17.2",)

    @pytest.mark.parametrize("own", ["python=3.11", "pip", "conda-forge::python>=3", "pip<=23.1"])
    def test_pythons_own_are_not_foreign(self, folder: Path, own: str) -> None:
        assert read(folder, conda__yaml=f"dependencies:\n- {own}\n").lines == ("mlflow==3.17.2",)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("conda__yaml", "- a list"),
            ("conda__yaml", "a: [broken"),
            ("conda__yaml", "dependencies: xgboost"),
            ("conda__yaml", "!!python/object/apply:os.getcwd []"),
            ("python_env__yaml", "just text"),
        ],
    )
    def test_files_that_cannot_be_read_are_told(self, folder: Path, name: str, text: str) -> None:
        with pytest.raises(Unservable, match="environment files cannot be read"):
            read(folder, **{name: text})

    @pytest.mark.parametrize(
        "line",
        [
            "-r /some/secret",
            "-r\t../secret",
            "-r=../secret",
            '--requirement "/some/secret"',
            "--requirement=/some/secret",
            "-r ${HOME}/secret",
            "-r more.txt",
            "-r https://example.org/more.txt",
            "-c /some/secret",
            "--constraint=more.txt",
            "--no-index -r /some/secret",
            "numpy --hash=sha256:00 -r /some/secret",
            "\ufeff-r /some/secret",
            "-r \\",
        ],
    )
    def test_a_line_that_names_another_file_of_requirements(self, folder: Path, line: str) -> None:
        """What is in it would be told as a name that is no package's."""
        (folder / "more.txt").write_text("numpy\n")
        for name in ("requirements__txt", "constraints__txt"):
            with pytest.raises(Unservable, match="name another file") as refused:
                read(folder, **{"requirements__txt": "mlflow\n-c constraints.txt", name: line})
            assert repr(line.removeprefix("\ufeff"))[1:-1] in refused.value.message
            (folder / name.replace("__", ".")).unlink()

    @pytest.mark.parametrize(
        "line",
        [
            "/some/secret.whl",
            "../secret.whl",
            "wheels/../../secret.whl",
            "a package/../../secret",
            "file:///some/secret.whl",
            "own @ file:///some/secret.whl",
            "own @ file://localhost/some/secret.whl",
            "own@/some/secret.whl ; python_version > '3'",
            "own @ file:../secret.whl",
            "own @ file:%2e%2e/secret.whl",
            "own @ git+file:///some/secret",
            "own @ other:///../../secret.whl",
            "own @ ${HOME}/secret.whl",
            "${HOME}/secret.whl",
            "-e ../secret",
            "--find-links /some/secret",
            "--find-links='/some/a #secret'",
            "--index-url=file:///some/secret",
            "numpy  # of the team\u2028/some/secret.whl",
            "link/secret.whl",
        ],
    )
    def test_a_path_that_leads_out_of_the_models_folder(self, folder: Path, line: str) -> None:
        (folder / "link").symlink_to("/some")
        with pytest.raises(Unservable, match="lead out of its own folder") as refused:
            read(folder, requirements__txt=f"mlflow\n{line}\n")
        assert line.rpartition("\u2028")[2].removeprefix("-e ") in refused.value.message

    @pytest.mark.parametrize("text", ["numpy\n  -r /some/secret", "numpy # it\n  -r /some/secret"])
    def test_a_line_within_a_line_of_the_pip_section(self, folder: Path, text: str) -> None:
        conda = f"dependencies:\n- pip:\n  - |\n    {text}\n".replace("\n  -r", "\n    -r")
        with pytest.raises(Unservable, match="name another file"):
            read(folder, conda__yaml=conda)

    def test_a_line_in_the_version_of_the_mlflow_that_logged_it(self, folder: Path) -> None:
        with pytest.raises(Unservable, match="name another file"):
            requirements.read(folder, "3.1\n-r /some/secret", "")

    def test_a_login_in_a_line_that_is_refused_is_not_told(self, folder: Path) -> None:
        with pytest.raises(Unservable) as refused:
            read(folder, requirements__txt="-r https://ana:s3cret@example.org/more.txt")
        assert "s3cret" not in refused.value.message

    @pytest.mark.parametrize(
        "line",
        [
            "own @ https://example.org/../own.whl?at=/main",
            "own @ git+https://ana@example.org/own.git@main#subdirectory=/own",
            "git+ssh://git@example.org/own.git",
            "--index-url https://${NAME}:${TOKEN}@example.org/simple",
            "--extra-index-url=https://example.org/simple",
            '--find-links "https://example.org/wheels"',
            "--trusted-host example.org",
            "--pre",
            "--no-binary :all:",
            "numpy==1.26 --hash=sha256:00 \\",
            "numpy  # not -r ../more.txt, nor /some/secret",
            "numpy ; python_version > '3'  # as in ../more.txt",
            "./wheels/own.whl[extra]",
            "own @ file:wheels/../own.whl",
        ],
    )
    def test_an_address_an_option_and_a_path_within_are_taken(
        self, folder: Path, line: str
    ) -> None:
        assert read(folder, requirements__txt=f"mlflow\n{line}\n").lines[:2] == ("mlflow", line)

    def test_bytes_that_are_no_text_are_told(self, folder: Path) -> None:
        (folder / "requirements.txt").write_bytes(b"mlflow\n\xff\xfe\n")
        with pytest.raises(Unservable, match="environment files cannot be read"):
            read(folder)


class TestPython:
    @pytest.mark.parametrize(
        ("given", "minor"), [("3.11.7", "3.11"), ("3.9.18", "3.9"), ("3.12", "3.12"), ("", "")]
    )
    def test_only_the_minor_version_counts(self, folder: Path, given: str, minor: str) -> None:
        assert read(folder, python=given).python == minor

    def test_what_python_env_says_goes_before_the_flavour(self, folder: Path) -> None:
        assert read(folder, python_env__yaml="python: 3.8.18\n").python == "3.8"

    @pytest.mark.parametrize("given", ["2.7.18", "pypy", "three"])
    def test_what_is_no_python_3_says_nothing(self, folder: Path, given: str) -> None:
        assert read(folder, python=given).python == ""
