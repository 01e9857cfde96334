"""Whether this Studio knows what a database was written by."""

from __future__ import annotations

from importlib.metadata import version

from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from studio.backup.database import Snapshot
from studio.backup.failure import BackupFailed
from studio.backup.manifest import Manifest, Versions
from studio.mlflow.survey import REVISIONS, revisions


def of(moment: Snapshot) -> Versions:
    """What the database of this snapshot was written by. Raises BackupFailed where it is none of Studio's."""
    return Versions(
        studio=settings.VERSION,
        mlflow=version("mlflow"),
        server=moment.server(),
        revisions=moment.revisions(),
        migrations=moment.migrations(),
    )


def require_known(manifest: Manifest) -> None:
    """Raises BackupFailed for the backup of a later Studio or MLflow. Tables of earlier ones can be upgraded."""
    told = manifest.versions
    for table, folder in REVISIONS.items():
        unknown = set(told.revisions[table].split(",")) - revisions(folder)
        if unknown:
            raise BackupFailed(
                f"The backup's tables are of a later MLflow, {told.mlflow} (revision {', '.join(sorted(unknown))}); "
                f"here is {version('mlflow')}. Restore it with the Studio that it was taken with, {told.studio}."
            )
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    unknown = set(told.migrations) - known
    if unknown:
        raise BackupFailed(
            f"The backup is of a later Studio, {told.studio} (migration {sorted(unknown)[0]}); "
            f"here is {settings.VERSION}. Restore it with that one."
        )
