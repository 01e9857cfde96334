from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from studio.accounts.management.running import check_running
from studio.importing import words
from studio.importing.alone import alone
from studio.importing.progress import Progress
from studio.importing.report import Report
from studio.importing.sources.opening import Wanted, open_source
from studio.importing.transfer import Transfer
from studio.importing.units import Source
from studio.lib.errors import StudioError
from studio.mlflow import schema

# Everything that could come has come, and something could not.
_INCOMPLETE = 3


class Command(BaseCommand):
    help = (
        "Import experiments, runs, artifacts and models from MLflow: a file store (mlruns), an SQLite file "
        "(mlflow.db), or the address of a server. Safe to interrupt and to repeat; the source is only read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", help="a folder, a file, or http(s)://…")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="read everything, count it, and write nothing but the report",
        )
        parser.add_argument(
            "--artifacts",
            action="append",
            default=[],
            type=Path,
            metavar="DIR",
            help="a further folder that the source's artifacts may be read from; may be repeated",
        )
        parser.add_argument(
            "--username",
            default="",
            help="of a server that asks for one; its password is read from MLFLOW_TRACKING_PASSWORD. "
            "A token is read from MLFLOW_TRACKING_TOKEN",
        )
        parser.add_argument("--report", type=Path, metavar="FILE", help="where to write the report")

    def handle(self, *args: Any, **options: Any) -> None:
        check_running()
        if not schema.is_current("default"):
            raise CommandError(
                "The database is not at this version: run `manage.py migrate` first."
            )
        try:
            with alone(), _work() as work:
                self._import(work, **options)
        except StudioError as failure:
            raise CommandError(failure.message) from None
        except OSError as failure:
            raise CommandError(f"The import stopped: {failure}. {words.GO_ON}") from None
        except OperationalError as failure:
            raise CommandError(
                f"The import stopped: the database does not answer ({failure}). {words.GO_ON}"
            ) from None
        except KeyboardInterrupt:
            raise CommandError(
                f"The import was interrupted. {words.GO_ON}", returncode=130
            ) from None

    def _import(self, work: Path, **options: Any) -> None:
        report = Report(options["report"] or _report_path())
        dry = options["dry_run"]
        try:
            source = open_source(_wanted(options), report, work)
            try:
                seconds = self._transfer(source, report, work, dry)
            finally:
                source.close()
        finally:
            report.close()
        for line in words.summary(report, seconds, dry=dry):
            self.stdout.write(line)
        if report.lost:
            sys.exit(_INCOMPLETE)

    def _transfer(self, source: Source, report: Report, work: Path, dry: bool) -> float:
        self.stdout.write(f"{'Reading' if dry else 'Importing'} {source.label}.")
        progress = Progress(sys.stderr, source.runs_expected())
        try:
            Transfer(source, report, progress, work, dry=dry).run()
        finally:
            progress.end()
        return progress.seconds


def _wanted(options: dict[str, Any]) -> Wanted:
    for folder in options["artifacts"]:
        if not folder.is_dir():
            raise CommandError(f"--artifacts {folder} is no folder.")
    return Wanted(
        options["source"],
        options["artifacts"],
        token=os.environ.get("MLFLOW_TRACKING_TOKEN", ""),
        username=options["username"] or os.environ.get("MLFLOW_TRACKING_USERNAME", ""),
        password=os.environ.get("MLFLOW_TRACKING_PASSWORD", ""),
    )


@contextmanager
def _work() -> Iterator[Path]:
    """An empty folder for copies, without what a killed import has left in it."""
    settings.HOME.make()
    folder = settings.HOME.root / "import"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _report_path() -> Path:
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return Path(settings.HOME.root / "imports" / f"{now}-{os.getpid()}.jsonl")
