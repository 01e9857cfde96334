"""The name of an environment: the same for all that ask the same, another for what may be something else."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from endpoints import requirements
from endpoints.requirements import Requirements


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, **files: str) -> Requirements:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return requirements.read(folder, "3.17.2", "3.11.7")


def test_the_order_of_lines_does_not_matter() -> None:
    one = Requirements(("mlflow", "numpy", "pandas"), "3.11")
    assert one.key("3.11") == Requirements(("pandas", "numpy", "mlflow"), "3.11").key("3.11")


def test_comments_and_spaces_do_not_matter(folder: Path) -> None:
    plain = read(folder, requirements__txt="mlflow\nnumpy\n").key("3.11")
    assert read(folder, requirements__txt="\n# x\n  numpy\nmlflow   \n").key("3.11") == plain


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("scikit-learn==1.4", "Scikit_Learn == 1.4"),
        ("zope.interface", "zope-interface"),
        ("numpy>=1,<2", "numpy <2, >=1"),
        ("own[b,a_c]", "own [a-c, B]"),
        ("numpy", "numpy\nnumpy\nNumPy"),
        ("numpy<2 ; python_version>'3'", 'numpy<2;python_version > "3"'),
        ("own @ https://example.org/own.whl", "Own@ https://example.org/own.whl"),
        ("numpy", "numpy  # of the team"),
    ],
)
def test_the_same_in_other_words_is_the_same_environment(folder: Path, one: str, same: str) -> None:
    plain = read(folder, requirements__txt=f"mlflow\n{one}\n")
    other = read(folder, requirements__txt=f"{same}\nMLflow\n")
    assert plain.key("3.11") == other.key("3.11")
    as_constraint = [
        Requirements(("mlflow",), "", found.lines).key("3.11") for found in (plain, other)
    ]
    assert as_constraint[0] == as_constraint[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("numpy", "numpy ; python_version > '3'"),
        ("own", "own[extra]"),
        ("numpy==1.0", "numpy===1.0"),
        ("./Own", "./own"),
        ("own @ https://example.org/A.whl", "own @ https://example.org/a.whl"),
        ("numpy --hash=sha256:00", "numpy"),
        (
            "--extra-index-url https://a.org\n-i https://b.org",
            "-i https://b.org\n--extra-index-url https://a.org",
        ),
    ],
)
def test_what_may_mean_something_else_is_another(folder: Path, one: str, other: str) -> None:
    keys = [
        read(folder, requirements__txt=f"mlflow\n{lines}\n").key("3.11") for lines in (one, other)
    ]
    assert keys[0] != keys[1]


def test_another_version_of_uv_makes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Requirements(("mlflow",), "")
    key = wanted.key("3.11")
    monkeypatch.setattr(requirements, "version", lambda name: "0.0.1")
    assert wanted.key("3.11") != key


def test_the_kernels_version_does_not_count_and_the_platform_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = Requirements(("mlflow",), "")
    key = wanted.key("3.11")
    monkeypatch.setattr("platform.release", lambda: "99.1")
    assert wanted.key("3.11") == key
    monkeypatch.setattr("sysconfig.get_platform", lambda: "linux-other")
    assert wanted.key("3.11") != key


@pytest.mark.parametrize(
    ("other", "python"),
    [
        (Requirements(("mlflow", "numpy<2"), ""), "3.11"),
        (Requirements(("mlflow",), ""), "3.11"),
        (Requirements(("mlflow", "numpy"), "", ("numpy<2",)), "3.11"),
        (Requirements(("mlflow", "numpy"), ""), "3.12"),
    ],
)
def test_what_makes_another_environment_makes_another_key(other: Requirements, python: str) -> None:
    assert other.key(python) != Requirements(("mlflow", "numpy"), "").key("3.11")


def test_a_constraint_is_not_a_requirement() -> None:
    asked = Requirements(("mlflow", "numpy<2"), "")
    assert asked.key("3.11") != Requirements(("mlflow",), "", ("numpy<2",)).key("3.11")


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("wheels/own-1.0-py3-none-any.whl", "wheels/own-1.0-py3-none-any.whl"),
        ("./package", "package/own.py"),
        ("own @ file:package", "package/own.py"),
        ("-e ./package[extra]", "package/own.py"),
        ("./wheels/own.whl ; python_version > '3'", "wheels/own.whl"),
        ("wheels/own.whl --hash=sha256:00", "wheels/own.whl"),
        ("./a package", "a package/src/own.py"),
        ("own @ file:a%20package", "a package/src/own.py"),
        ("own@./package", "package/own.py"),
        (".", "pyproject.toml"),
        ("./[extra]", "src/own.py"),
    ],
)
def test_what_the_models_own_files_hold_counts(folder: Path, line: str, path: str) -> None:
    def key(content: str) -> str:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
        return read(folder, **{"requirements.txt": line}).key("3.11")

    assert key("one") == key("one") != key("another")


def test_files_elsewhere_are_not_read(folder: Path) -> None:
    asked = {"requirements.txt": "own @ https://example.org/etc/passwd\n-i https://example.org/.."}
    assert read(folder, **asked).contents == ()


def test_two_folders_with_the_same_files_have_one_key(tmp_path: Path) -> None:
    def key(name: str, **files: str) -> str:
        (tmp_path / name / "own" / "deep").mkdir(parents=True)
        for path, text in files.items():
            (tmp_path / name / "own" / path.replace("__", "/")).write_text(text)
        return read(tmp_path / name, requirements__txt="./own\n").key("3.11")

    assert key("one", a="x", deep__b="y") == key("two", deep__b="y", a="x")
    others = [key("three", a="y", deep__b="x"), key("four", a="x"), key("five", b="x")]
    assert len({key("six", a="x", deep__b="y"), *others}) == 4


@pytest.mark.parametrize("line", ["numpy", "own [extra]", "x" * 300 + "==1 ; '" + "y" * 5000])
def test_a_line_that_names_no_file_adds_nothing(folder: Path, line: str) -> None:
    assert read(folder, requirements__txt=line).contents == ()


def test_a_large_file_is_not_held_in_memory(folder: Path) -> None:
    with (folder / "own.whl").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    tracemalloc.start()
    assert read(folder, requirements__txt="./own.whl").contents
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * 1024 * 1024


def test_it_is_a_name_for_a_folder() -> None:
    key = Requirements(("mlflow",), "").key("3.11")
    assert len(key) == 24
    assert key.isalnum()
