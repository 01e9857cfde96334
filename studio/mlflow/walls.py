"""What MLflow's server may open: the artifacts of this Studio, and nothing else of this machine or any other.

An artifact address is data. A user may give an experiment any, and an adopted database may hold any. MLflow
checks what a request says; here it is checked once more what is about to be opened, at the two places that
every route comes through: where MLflow chooses a store for an address, and where the store of local files
makes an address and a path into a file. Loaded in MLflow's own process only, before it serves.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.server import handlers
from mlflow.store.artifact import artifact_repository_registry as known
from mlflow.store.artifact.local_artifact_repo import (
    _TEMP_ARTIFACT_PREFIX,
    LocalArtifactRepository,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracing.constant import TraceTagKey
from mlflow.tracing.utils.artifact_utils import TRACE_DATA_FILE_NAME
from mlflow.utils.file_utils import get_file_info, local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION

from studio.lib import s3
from studio.lib.folders import outside
from studio.lib.home import STORE_ID
from studio.mlflow.buckets import Bucket, stream_through

# A trace's files lie below its experiment's, in a folder of the name that its sender gave it.
_TRACE_ID = re.compile(r"[\w:@=+~-][\w.:@=+~-]*")
# Written by MLflow alone: they say which files it reads for a trace, and deletes with it.
_TRACE_LOCATIONS = {
    MLFLOW_ARTIFACT_LOCATION,
    TraceTagKey.ARCHIVE_LOCATION,
    TraceTagKey.SPANS_LOCATION,
}


class Folder(LocalArtifactRepository):  # type: ignore[misc]  # MLflow carries no types
    """A folder below `root`. What is done in it is done only after links and dots have been followed."""

    root: Path

    def __init__(self, artifact_uri: str, *stores: str | None, **more: str | None) -> None:
        super().__init__(artifact_uri, *stores, **more)
        self._inside(self.artifact_dir)

    def get_local_path(self, artifact_path: str) -> str:
        self._inside(self._at(artifact_path))
        return str(self._inside(super().get_local_path(artifact_path)))  # which decodes it

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        folder = self._inside(self._at(path))
        if not folder.is_dir():
            return []
        # By the names that were asked for: links that stay inside are not resolved in what is told.
        found = (Path(self._at(path), child.name) for child in folder.iterdir())
        infos = [
            get_file_info(str(child), os.path.relpath(child, self.artifact_dir))
            for child in found
            if not child.name.startswith(_TEMP_ARTIFACT_PREFIX) and self._may_be_told(child)
        ]
        return sorted(infos, key=lambda info: info.path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        place = self._inside(self._at(artifact_path))
        if place == self.root.resolve():
            raise _refused("The folder of all artifacts cannot be deleted.")
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        for folder, folders, files in os.walk(local_dir):
            for name in folders + files:
                sent = os.path.relpath(Path(folder, name), local_dir)
                self._inside(Path(self._at(artifact_path), sent))
        super().log_artifacts(local_dir, artifact_path)

    def download_trace_data(self) -> Any:
        self._inside(self._at(TRACE_DATA_FILE_NAME))
        return super().download_trace_data()

    def _get_or_create_artifact_dir(self, artifact_path: str | None = None) -> Any:
        self._inside(self._at(artifact_path))
        return super()._get_or_create_artifact_dir(artifact_path)

    def _get_destination_artifact_path(self, *names: str | None) -> Any:
        folder, file = super()._get_destination_artifact_path(*names)
        self._inside(file)
        return folder, file

    def _is_directory(self, artifact_path: str | None) -> bool:
        return self._inside(self._at(artifact_path)).is_dir()

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        shutil.copy2(self.get_local_path(remote_file_path), local_path)

    def _at(self, path: str | None) -> Path:
        return Path(self.artifact_dir, os.path.normpath(path) if path else "")

    def _inside(self, place: str | Path) -> Path:
        """Where this place really is. Raises unless that is a file or folder in here, or nothing yet."""
        told = os.path.relpath(place, self.artifact_dir) if place != self.artifact_dir else ""
        try:
            real, folder = Path(place).resolve(), Path(self.artifact_dir).resolve()
            strange = real.exists() and not (real.is_file() or real.is_dir())
        except (OSError, RuntimeError, ValueError):  # links in a circle, too long a name, NUL
            raise _outside(told or self.artifact_uri) from None
        if not folder.is_relative_to(self.root.resolve()):
            raise _outside(self.artifact_uri)
        own = real == self.root.resolve() / STORE_ID
        if (
            not real.is_relative_to(folder) or strange or own
        ):  # a pipe's opening would wait for ever
            raise _outside(told)
        return real

    def _may_be_told(self, child: Path) -> bool:
        try:
            child.name.encode()
            return self._inside(child).exists()
        except (MlflowException, UnicodeEncodeError):  # what is no text, no address can name
            return False


class Registry(known.ArtifactRepositoryRegistry):  # type: ignore[misc]
    """Where MLflow asks for the store of an address. It gets one for what lies below `destination` only."""

    def __init__(self, destination: str, stores: dict[str, Any]) -> None:
        super().__init__()
        self._registry = dict(stores)  # of every scheme: MLflow's datasets list them
        self._destination = destination
        if _scheme_of(destination) == "file":
            root = Path(local_file_uri_to_path(destination))
            self._folder = type("Folder", (Folder,), {"root": root})
        else:
            self._registry["s3"] = type("Bucket", (Bucket,), {"root": destination})

    def get_artifact_repository(self, artifact_uri: str, *stores: Any, **more: Any) -> Any:
        scheme = _scheme_of(artifact_uri)
        if _scheme_of(self._destination) == "file":
            if scheme == "file" and urlsplit(artifact_uri).netloc in ("", "localhost"):
                return self._folder(artifact_uri, *stores, **more)
        elif s3.is_below(artifact_uri, self._destination):
            return super().get_artifact_repository(artifact_uri, *stores, **more)
        raise _outside(artifact_uri)


def raise_walls(destination: str) -> None:
    """Let MLflow's server open what lies below this address and nothing else. Called once, before it serves."""
    stores = known.get_registered_artifact_repositories()
    known._artifact_repository_registry = Registry(destination, stores)
    stream_through()
    handlers._is_servable_proxied_run_artifact_root = is_own
    handlers._HANDLER_BLOCKED_TRACE_TAGS |= _TRACE_LOCATIONS
    for name in ("start_trace", "deprecated_start_trace_v2", "deprecated_end_trace_v2"):
        setattr(SqlAlchemyStore, name, _without_locations(getattr(SqlAlchemyStore, name)))
    location = SqlAlchemyStore._get_trace_artifact_location_tag
    SqlAlchemyStore._get_trace_artifact_location_tag = _of_plain_names(location)


def is_own(address: str) -> bool:
    """Whether MLflow may take an address for one of its artifact proxy, so for files of this Studio.

    By itself it takes http://anybody/… and mlflow-artifacts://anybody/… for its own as well.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "mlflow-artifacts" and not parts.netloc


def _scheme_of(address: str) -> str:
    """`file` also for an address that has none. Not MLflow's: that has one-letter schemes of Windows."""
    try:
        return urlsplit(address).scheme or "file"
    except ValueError:  # a bracket left open, say
        return ""


def _without_locations(start: Any) -> Any:
    """A start of a trace that takes no location from its sender: what of a trace is a file, MLflow says."""

    def started(store: SqlAlchemyStore, *given: Any, **more: Any) -> Any:
        for value in (*given, *more.values()):
            tags = value if isinstance(value, dict) else getattr(value, "tags", {})
            for key in _TRACE_LOCATIONS:
                tags.pop(key, None)
        return start(store, *given, **more)

    return started


def _of_plain_names(location: Any) -> Any:
    def checked(store: SqlAlchemyStore, experiment: Any, trace_id: str) -> Any:
        if not _TRACE_ID.fullmatch(trace_id):
            raise _refused(f"{trace_id!r} is no name for a trace: use letters, digits and . : - _")
        return location(store, experiment, trace_id)

    return checked


def _outside(told: str) -> MlflowException:
    return _refused(outside(told).message)


def _refused(told: str) -> MlflowException:
    return MlflowException(told, INVALID_PARAMETER_VALUE)
