"""Files of this machine that are there whole or not at all, whatever ends meanwhile: a connection, a process, the power."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

# MLflow's own: its lists leave out what has such a name, and it takes no file of such a name.
PREFIX = ".artifact.uploading."
_UNNAMED = getattr(os, "O_TMPFILE", 0)  # Linux alone has it
# What a file system says that has no files without a name: NFS, say.
_UNKNOWN = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def write_whole(target: Path, pieces: Iterable[bytes]) -> None:
    """Write what comes to a file, in place of one that is there. The folders above it are made, at the end.

    Once it returns, a failure of power leaves it as well. What is raised meanwhile, by `pieces` too, leaves nothing,
    and what was there before. Raises OSError where a file is in a folder's place, or the reverse.
    """
    folder = next(each for each in target.parents if each.is_dir())
    descriptor, draft = _new_file(folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
            _make(target.parent)
            draft = draft or _named(descriptor, target.parent)
            draft.replace(target)
    except BaseException:
        if draft:
            draft.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _new_file(folder: Path) -> tuple[int, Path | None]:
    """A new file on the disk of this folder, and its name, if it has one: what has none ends with its process."""
    if _UNNAMED:
        try:
            return os.open(folder, _UNNAMED | os.O_WRONLY, 0o666), None
        except OSError as failure:
            if failure.errno not in _UNKNOWN:
                raise
    draft = _draft_in(folder)
    return os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), draft


def _named(descriptor: int, folder: Path) -> Path:
    """Give a file without a name one that nobody is shown: to take another's place it must have one."""
    draft, here = _draft_in(folder), os.open(folder, os.O_DIRECTORY)
    try:
        # The folder's descriptor has Python call linkat, which alone follows the link to the open file.
        os.link(f"/proc/self/fd/{descriptor}", draft, src_dir_fd=here, follow_symlinks=True)
    finally:
        os.close(here)
    return draft


def _draft_in(folder: Path) -> Path:
    return folder / f"{PREFIX}{secrets.token_hex(8)}"


def _make(folder: Path) -> None:
    """Make a folder and those above it, to last as long as the file."""
    for each in reversed((folder, *folder.parents)):
        if not each.is_dir():
            each.mkdir(exist_ok=True)
            _sync(each.parent)


def _sync(folder: Path) -> None:
    here = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(here)
    finally:
        os.close(here)
