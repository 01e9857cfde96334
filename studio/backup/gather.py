"""The artifacts of a backup: copied from the store, or linked from the backup before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from studio.backup import tree
from studio.backup.copying import Unsteady, copy, link
from studio.backup.folder import Folder
from studio.backup.telling import Progress, Say
from studio.backup.tree import Entry, Sorted
from studio.lib import artifacts
from studio.lib.errors import NotFound
from studio.lib.text import counted

_TOLD = 20  # notes of one kind; the others are counted


@dataclass
class Gathering:
    """Two walks through the store: one to see what there is, and one, after the database's moment, to copy it."""

    new: Folder
    last: Folder | None
    say: Say
    files: int = 0
    size: int = 0
    digest: str = ""  # of the list
    gone: int = 0
    notes: list[str] = field(default_factory=list)

    def look(self, store: Path) -> int:
        """Note what is there. Returns how many bytes a copy of it would write."""
        before, needed = self._of_last(), 0
        with self._seen.open("w") as seen:
            for entry in tree.walk(store, lambda path, why: None):
                seen.write(tree.line_of(entry))
                known = before.take(entry.path)
                needed += 0 if self._linkable(entry, known) else entry.size
        return needed

    def copy(self, store: Path) -> None:
        """Copy what is there now. Counts what was there at the look and is not any more."""
        before, seen = self._of_last(), Sorted(tree.read(self._seen), self._note_gone)
        progress = Progress(self.say, "copied")
        summary = hashlib.sha256()
        self.new.artifacts.mkdir()
        with self.new.files.open("w") as listed:
            for entry in tree.walk(store, self._note_skipped):
                seen.take(entry.path)
                kept = self._keep(store, entry, before.take(entry.path), progress)
                if kept is None:
                    self._note_gone(entry)
                    continue
                line = tree.line_of(kept)
                listed.write(line)
                summary.update(line.encode())
                self.files += 1
                self.size += kept.size
                progress.files = self.files
        seen.rest()
        self._seen.unlink()
        self.digest = summary.hexdigest()
        self._sum_up()

    def missing(self, store: Path, models: Iterable[tuple[str, str]]) -> list[str]:
        """Of models, by name and address: those that should lie in the store and have no file in the copy."""
        found = []
        for name, address in models:
            try:
                folder = artifacts.folder_of(address)
            except NotFound:  # another store's, or a reference to what is asked for itself
                continue
            assert isinstance(folder, artifacts.LocalFolder)  # as the store is
            if not (self.new.artifacts / folder.path.relative_to(store.resolve())).exists():
                found.append(f"{name}: {address}")
        return found

    @property
    def _seen(self) -> Path:
        return self.new.root / "seen.jsonl"

    def _of_last(self) -> Sorted:
        entries = tree.read(self.last.files) if self.last else iter(())
        return Sorted(entries, lambda entry: None)

    def _linkable(self, entry: Entry, known: Entry | None) -> bool:
        if self.last is None or known is None or not known.unchanged(entry):
            return False
        return self.last.root.stat().st_dev == self.new.root.stat().st_dev

    def _keep(
        self, store: Path, entry: Entry, known: Entry | None, progress: Progress
    ) -> Entry | None:
        """The entry with its digest, its file being in the copy now. None: it has gone meanwhile."""
        if entry.link:
            return entry
        target = self.new.artifacts / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if known is not None and known.unchanged(entry) and self._link(entry, target):
            progress.moved(entry.size)
            return known
        try:
            return copy(store / entry.path, target, entry.path, progress.moved)
        except Unsteady as changing:
            self._note(f"{entry.path!r} changed each time that it was copied")
            return changing.entry

    def _link(self, entry: Entry, target: Path) -> bool:
        return self.last is not None and link(self.last.artifacts / entry.path, target, entry.size)

    def _note(self, line: str) -> None:
        self.notes.append(line)

    def _note_gone(self, entry: Entry) -> None:
        self.gone += 1

    def _note_skipped(self, path: str, why: str) -> None:
        self._note(f"{path!r} is not copied: {why}")

    def _sum_up(self) -> None:
        more = len(self.notes) - _TOLD
        if more > 0:
            self.notes[_TOLD:] = [f"and {more} more of this kind"]
        if self.gone:
            self.notes.append(
                f"{counted(self.gone, 'file')} of the store {'was' if self.gone == 1 else 'were'} deleted meanwhile"
            )
