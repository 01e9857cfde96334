"""Artifacts of an import, into a Studio that keeps them in an S3 store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from studio.lib.s3 import S3Folder
from tests.support.filestore import write_store
from tests.support.s3 import Server
from tracking.models import Run


@pytest.fixture
def nothing_left(transactional_db: None) -> Iterator[None]:
    _forget()
    yield
    _forget()
    shutil.rmtree(settings.HOME.root / "imports", ignore_errors=True)


def _forget() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE experiments CASCADE")


def test_artifacts_come_into_the_bucket_and_are_not_sent_twice(
    nothing_left: None, bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path, runs=2, points=2, files=2)
    call_command("import", str(store), stdout=StringIO())
    run = Run.objects.order_by("pk")[0]
    place = f"studio/1/{run.pk}/artifacts/file-1.txt"
    assert len(bucket.keys("studio/")) == 4
    there = bucket.client.get_object(Bucket="team", Key=place)
    assert there["Body"].read() == (store / "1" / run.pk / "artifacts" / "file-1.txt").read_bytes()
    # As after an interruption: the files are there, the rows are not.
    _forget()
    sent: list[str] = []
    monkeypatch.setattr(S3Folder, "put", lambda self, path, source: sent.append(path))
    call_command("import", str(store), stdout=StringIO())
    assert Run.objects.count() == 2
    assert sent == []
