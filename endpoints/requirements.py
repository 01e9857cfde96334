"""What a model's files ask of its environment."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sysconfig
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from studio.lib.errors import Unservable

# What the model server needs, and what makes it faster where it can be installed.
SERVER = ("uvicorn>=0.22",)
# What MLflow before 2.21 imports to score and does not always bring: setuptools for pkg_resources.
OLD_MLFLOW = ("flask", "setuptools<81")
FASTER = ("httptools", "uvloop")
_NOT_OLD = "2.21"
_OF_CONDA_ITSELF = re.compile(r"(python|pip)\s*([<>=!~ ].*)?$")
_CONSTRAINTS = re.compile(r"(-c|--constraint)[ =]+constraints\.txt")
_MLFLOW = re.compile(r"mlflow([-_.]skinny)?(?![\w.-])", re.IGNORECASE)
# The environment outlives the deployment's copy of the model, so nothing is installed as a link into it.
_EDITABLE = re.compile(r"(-e|--editable)(\s+|=\s*)(?!\w+\+)")
_OPTION = re.compile(r"^--?[a-z-]+(\s+|=\s*)")
_COMMENT = re.compile(r"\s+#")
_AFTERWARDS = re.compile(r"\s+(#|;|--hash\b)")
_EXTRAS = re.compile(r"\[[^\]]*\]$")
_MINOR = re.compile(r"3\.\d+")
# What uv fetches from elsewhere, up to its end: any other address is a path to it.
_REMOTE = re.compile(r"(?<![^\s=@\"'])(git\+(https?|ssh|git)|https?)://\S+")
_OTHER_FILE = re.compile(r"(-r|-c|--requirements?|--constraints?)$")
_BETWEEN = re.compile(r"[\s=@,;\"']+")
_LOGIN = re.compile(r"://[^/\s]+@")
_TO_A_FILE = re.compile(r"(git\+)?file:(//(localhost)?(?=/))?")


@dataclass(frozen=True, slots=True)
class Requirements:
    """Lines of a pip requirements file, and the Python minor version ("3.11", or "" when nothing is said)."""

    lines: tuple[str, ...]
    python: str
    constraints: tuple[str, ...] = ()
    # Paths in the model's own folder that the lines name, each with the SHA-256 of what is there.
    contents: tuple[str, ...] = ()

    def key(self, python: str) -> str:
        """The name of an environment with these, on this machine's platform and with this uv.

        Whoever asks for the same in other words gets the same name.
        """
        parts = (
            *_normal(self.lines),
            "-c",
            *_normal(self.constraints),
            "-r",
            *SERVER,
            *FASTER,
            *self.contents,
            python,
            # Not the kernel's version: what is installed runs on the next one too.
            sysconfig.get_platform(),
            *platform.libc_ver(),
            version("uv"),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def read(folder: Path, mlflow_version: str, python_version: str) -> Requirements:
    """Read a model's folder. Raises Unservable for what only conda could install, and what leads out of it."""
    try:
        conda = _yaml(folder / "conda.yaml")
        of_env = _yaml(folder / "python_env.yaml")
        given = conda.get("dependencies") or []
        _refuse_conda(given)
        listed = _lines(folder / "requirements.txt") or _pip_section(given)
        lines = [_EDITABLE.sub("", line, 1) for line in listed if not _CONSTRAINTS.fullmatch(line)]
        # MLflow keeps the constraints that a model was logged with in this one file.
        bounds = _lines(folder / "constraints.txt") if len(lines) < len(listed) else []
    except (ValueError, yaml.YAMLError) as failure:
        raise Unservable(f"The model's environment files cannot be read: {failure}") from failure
    if not any(_MLFLOW.match(line) for line in lines):
        lines.append(f"mlflow=={mlflow_version}" if mlflow_version else "mlflow")
    if _asks_for_old_mlflow([*lines, *bounds], mlflow_version):
        lines += OLD_MLFLOW
    for line in [*lines, *bounds]:
        _refuse_what_leads_out(line, folder)
    minor = _MINOR.match(str(of_env.get("python") or python_version))
    python = minor[0] if minor else ""
    return Requirements(tuple(lines), python, tuple(bounds), _contents(folder, [*lines, *bounds]))


def _normal(lines: tuple[str, ...]) -> list[str]:
    """The same for all that ask the same. Options come first, as they are: their order may matter."""
    options = [line for line in lines if line.startswith("-")]
    return options + sorted({_canonical(line) for line in lines if not line.startswith("-")})


def _canonical(line: str) -> str:
    """A plain requirement in one spelling; any other line, a path say, as it is written."""
    try:
        asked = Requirement(_COMMENT.split(line)[0])
    except InvalidRequirement:
        return line
    asked.name = canonicalize_name(asked.name)
    asked.extras = {canonicalize_name(extra) for extra in asked.extras}
    return str(asked)


def _asks_for_old_mlflow(lines: list[str], logged_with: str) -> bool:
    """Whether an MLflow before 2.21 will be installed. Where the lines leave it open the model's own tells."""
    asked = [clause for line in lines if _MLFLOW.match(line) for clause in _specifiers(line)]
    if not all(map(_admits_new, asked)):
        return True
    return all(map(_admits_old, asked)) and not _is_new(logged_with)


def _specifiers(line: str) -> SpecifierSet:
    """What a line says of versions. A line that is not understood, one with an address say, says nothing."""
    try:
        return Requirement(_AFTERWARDS.split(line)[0]).specifier
    except InvalidRequirement:
        return SpecifierSet()


def _admits_new(clause: Specifier) -> bool:
    """Whether a version from 2.21 on satisfies it: any, or 2.21, or the one that it names."""
    named = clause.version.removesuffix(".*")
    probes = [version for version in (_NOT_OLD, named) if _is_new(version)]
    return clause.operator in (">", ">=", "!=") or any(map(clause.contains, probes))


def _admits_old(clause: Specifier) -> bool:
    return clause.operator in ("<", "<=", "!=") or not _is_new(clause.version.removesuffix(".*"))


def _is_new(version: str) -> bool:
    """Also what is no version, as a branch of MLflow's own has it: that one is not old."""
    try:
        return Version(version) >= Version(_NOT_OLD)
    except InvalidVersion:
        return True


def _contents(folder: Path, lines: list[str]) -> tuple[str, ...]:
    """What the files of the model are that the lines name: of one name, two models may bring different ones."""
    root = Path(os.path.normpath(folder))
    found = {path for line in lines for name in _names(line) if (path := _path(root, name))}
    return tuple(f"{path.relative_to(root)} {_digest(path)}" for path in sorted(found))


def _refuse_what_leads_out(line: str, folder: Path) -> None:
    """uv may read what Studio may, and tells what it has read: of paths, only the model's own are for it.

    A line is taken for more than one where uv may do so, and each word for a path, also a part of one: they
    lead out only if it does.
    """
    for part in line.removeprefix("\ufeff").splitlines():
        words = _BETWEEN.split(_REMOTE.sub("", _without_comment(part)))
        if any(map(_OTHER_FILE.match, words)):
            raise Unservable(
                f"The model's requirements name another file: {_told(line)} Studio reads requirements.txt, and "
                "constraints.txt where it is named by `-c constraints.txt`. Log the model again with all "
                "requirements in the one file."
            )
        if any(_leads_out(word, folder) for word in words):
            raise Unservable(
                f"The model's requirements lead out of its own folder: {_told(line)} Log the model again with "
                "what it needs among its files, or name a package of the index or an address (https)."
            )


def _without_comment(line: str) -> str:
    """A sign within quotes begins none."""
    for found in re.finditer(r"(?:^|\s)#", line):
        before = line[: found.start()]
        if not before.count('"') % 2 and not before.count("'") % 2:
            return before
    return line


def _leads_out(word: str, folder: Path) -> bool:
    """Whether a word is a path that is not the model's, or one that only uv will know: with a variable in it."""
    root = Path(os.path.realpath(folder))
    try:
        return "${" in word or not all(
            Path(os.path.realpath(root / path)).is_relative_to(root)
            and Path(os.path.normpath(root / path)).is_relative_to(root)
            for plain in (word, unquote(word))
            for path in (plain, _TO_A_FILE.sub("", plain, 1))
        )
    except (OSError, ValueError):  # too long for a name, or with a NUL: no path
        return False


def _told(line: str) -> str:
    """A line in words for a person, who may be another than the one whose login is in it."""
    return f"{_LOGIN.sub('://', line)[:200]!r}."


def _names(line: str) -> set[str]:
    """Whatever in a line may be a path: each of its words, and all of it that may hold spaces."""
    asked = _OPTION.sub("", _AFTERWARDS.split(line)[0], 1)
    words = re.split(r"[\s=]+", line)
    return {name.strip() for name in (asked, *asked.split("@"), *words) if name.strip()}


def _path(folder: Path, name: str) -> Path | None:
    """The file or folder of the model's that a name leads to. None: it leads nowhere, or out."""
    plain = unquote(_EXTRAS.sub("", name.removeprefix("file:")))
    path = Path(os.path.normpath(folder / plain))
    try:
        return path if plain and path.is_relative_to(folder) and path.exists() else None
    except OSError:  # too long for a name, so none
        return None


def _digest(path: Path) -> str:
    """The SHA-256 of a file, or of all that lies in a folder, its names included."""
    if path.is_dir():
        summary = hashlib.sha256()
        for inner in sorted(found for found in path.rglob("*") if found.is_file()):
            summary.update(f"{inner.relative_to(path)} {_digest(inner)}\n".encode())
        return summary.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_conda(dependencies: object) -> None:
    if not isinstance(dependencies, list):
        raise ValueError("conda.yaml has dependencies that are not a list")
    foreign = [
        name
        for item in dependencies
        for name in ([item] if isinstance(item, str) else _other_managers(item))
        if not _OF_CONDA_ITSELF.match(name.split("::")[-1].strip())
    ]
    if foreign:
        raise Unservable(
            f"The model asks for {', '.join(foreign)} from conda, which Studio does not install. "
            "Log it again with pip_requirements."
        )


def _other_managers(item: object) -> list[str]:
    """What an entry that is no text asks for: of a mapping, all that is not below `pip`."""
    if not isinstance(item, dict):
        return [] if item is None else [str(item)]
    return [f"{name}: {asked}" for name, asked in item.items() if name != "pip" and asked]


def _pip_section(dependencies: list[object]) -> list[str]:
    sections = (item["pip"] for item in dependencies if isinstance(item, dict) and item.get("pip"))
    return [str(line).strip() for line in next(sections, [])]


def _lines(path: Path) -> list[str]:
    """What a requirements file asks for, without comments. A file that is not there asks for nothing."""
    text = path.read_text() if path.is_file() else ""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = yaml.safe_load(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is not a mapping")
    return found
