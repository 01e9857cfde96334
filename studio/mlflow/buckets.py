"""MLflow's own class for S3, kept to one prefix of one bucket. Loaded in MLflow's own process only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.server import handlers, server_info_api
from mlflow.store.artifact.s3_artifact_repo import (
    S3ArtifactRepository,
    _hoist_expected_bucket_owner,
)
from mlflow.utils.server_info import (
    SERVER_INFO_MULTIPART_DOWNLOADS_ENABLED,
    SERVER_INFO_MULTIPART_UPLOADS_ENABLED,
)

from studio.lib import s3
from studio.lib.errors import NotFound, Unavailable
from studio.lib.folders import outside

_MOST_PARTS = 10_000  # that S3 takes of one upload; each costs an address here
_LONGEST = 3600  # seconds that an address lasts which needs no permission any more


class Bucket(S3ArtifactRepository):  # type: ignore[misc]  # MLflow carries no types
    """What lies below `root`. Each path that is asked for consists of plain names: no dots, nothing absolute."""

    root: str

    def __init__(self, artifact_uri: str, *given: Any, **more: Any) -> None:
        if not s3.is_below(artifact_uri, self.root):
            raise _outside(artifact_uri)
        super().__init__(artifact_uri, *given, **more)
        self._folder = s3.S3Folder.at(artifact_uri)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        with self._asked(path):
            # What no file can be named is told to nobody: who copies it would leave his folder.
            return [info for info in super().list_artifacts(path) if s3.is_plain(info.path)]

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        with self._asked(artifact_path, _last_name(local_file)):
            super().log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        with self._asked(artifact_path):
            super().log_artifacts(local_dir, artifact_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        if not artifact_path and self.artifact_uri.rstrip("/") == self.root:
            raise MlflowException(
                "The folder of all artifacts cannot be deleted.", INVALID_PARAMETER_VALUE
            )
        with self._asked(artifact_path):
            super().delete_artifacts(artifact_path)

    def create_multipart_upload(
        self, local_file: str, num_parts: int = 1, artifact_path: str | None = None
    ) -> Any:
        if not 0 < num_parts <= _MOST_PARTS:
            told = f"An upload has between 1 and {_MOST_PARTS} parts, not {num_parts}."
            raise MlflowException(told, INVALID_PARAMETER_VALUE)
        with self._asked(artifact_path, _last_name(local_file)):
            return super().create_multipart_upload(local_file, num_parts, artifact_path)

    def complete_multipart_upload(
        self,
        local_file: str,
        upload_id: str,
        parts: list[Any] | None = None,
        artifact_path: str | None = None,
    ) -> None:
        with self._asked(artifact_path, _last_name(local_file)):
            super().complete_multipart_upload(local_file, upload_id, parts or [], artifact_path)

    def abort_multipart_upload(
        self, local_file: str, upload_id: str, artifact_path: str | None = None
    ) -> None:
        with self._asked(artifact_path, _last_name(local_file)):
            super().abort_multipart_upload(local_file, upload_id, artifact_path)

    def create_presigned_upload_url(self, artifact_path: str, expiration: int = 900) -> Any:
        with self._asked(artifact_path or "."):
            return super().create_presigned_upload_url(artifact_path, min(expiration, _LONGEST))

    def get_download_presigned_url(self, artifact_path: str, expiration: int = 300) -> Any:
        with self._asked(artifact_path):
            return super().get_download_presigned_url(artifact_path, min(expiration, _LONGEST))

    def _iterate_s3_paginated_results(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"} | self._bucket_owner_params
        yield from s3.asker().get_paginator("list_objects_v2").paginate(**asked)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        with self._asked(remote_file_path):
            super()._download_file(remote_file_path, local_path)

    def _get_s3_client(self) -> Any:
        """Studio's. MLflow's own waits a minute, five times over, for a store that is gone."""
        client = s3.client()
        client.meta.events.register(
            "before-sign.s3.GetObject",
            _hoist_expected_bucket_owner,
            unique_id="mlflow-hoist-expected-bucket-owner",
        )
        return client

    @contextmanager
    def _asked(self, *paths: str | None) -> Iterator[None]:
        """Check the paths, and tell what the store answers in words of MLflow's API."""
        for path in paths:
            if path and not s3.is_plain(path.rstrip("/")):
                raise _outside(path)
        named = "/".join(filter(None, paths))
        try:
            with s3.reached(self._folder.bucket, named):
                yield
        except NotFound as absent:
            raise MlflowException(absent.message, RESOURCE_DOES_NOT_EXIST) from None
        except Unavailable as away:
            raise _of(away) from away


def _of(away: Unavailable) -> MlflowException:
    """The store's own refusal of what a client sent, parts that it never got say, is the client's to mend."""
    from botocore.exceptions import ClientError

    cause = away.__cause__
    if isinstance(cause, ClientError):
        error, status = (
            cause.response["Error"],
            cause.response["ResponseMetadata"]["HTTPStatusCode"],
        )
        if status in (400, 404) and error["Code"] != "NoSuchBucket":
            told = f"The artifact store refuses this: {error.get('Message') or error['Code']}"
            return MlflowException(told, INVALID_PARAMETER_VALUE)
    return MlflowException(away.message, TEMPORARILY_UNAVAILABLE)


def stream_through() -> None:
    """Have clients send and fetch files through Studio, unless they are told to go to the store themselves.

    By itself MLflow's server sends them there by addresses of the store, which they may not reach.
    """
    told = handlers.build_server_info_payload
    flags = (SERVER_INFO_MULTIPART_UPLOADS_ENABLED, SERVER_INFO_MULTIPART_DOWNLOADS_ENABLED)

    def without_store() -> dict[str, Any]:
        return {**told(), **dict.fromkeys(flags, False)}

    handlers.build_server_info_payload = without_store
    server_info_api.build_server_info_payload = without_store


def _last_name(local_file: str) -> str:
    """The name that MLflow gives the object. `.` of none, which is refused."""
    return local_file.rpartition("/")[2] or "."


def _outside(told: str) -> MlflowException:
    return MlflowException(outside(told).message, INVALID_PARAMETER_VALUE)
