"""Folders of an S3-compatible store, by boto3 and with the environment variables that MLflow reads for it.

MLflow's own classes do the same by the same library, but importing MLflow costs a process 80 MB and seconds.
boto3 itself is imported at its first use: who keeps artifacts in a folder never pays for it.
"""

from __future__ import annotations

import functools
import io
import json
import mimetypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from studio.lib.errors import Invalid, NotFound, Unavailable
from studio.lib.folders import PIECE, Entry, Opened, Told, outside, taken

_LONGEST_KEY = 1024  # bytes
_PART, _MOST_PARTS = 8 * 1024 * 1024, 10_000  # of one upload; a part is held in memory
_FILE_PATIENCE, _ASK_PATIENCE = 30.0, 5.0  # seconds without a byte
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {
    "401",
    "403",
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
}


@dataclass(frozen=True, slots=True)
class S3Folder:
    """Every object whose key begins with `prefix` and a slash. Without a prefix: the whole bucket."""

    bucket: str
    prefix: str

    @classmethod
    def at(cls, address: str) -> S3Folder:
        """The folder of an address that is known to be right: s3://bucket/prefix."""
        parts = urlsplit(address)
        return cls(parts.netloc, parts.path.strip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def relative(self, uri: str) -> str:
        """The path in here of an address that MLflow opens by itself. Raises NotFound if it lies elsewhere."""
        if not is_below(uri, str(self)):
            raise outside(uri)
        return urlsplit(uri).path.removeprefix(f"/{self.prefix}").removeprefix("/").rstrip("/")

    def sub(self, path: str, told: str) -> S3Folder:
        """A folder in here. Raises NotFound, of what `told` names, for a path that leads out."""
        return S3Folder(self.bucket, self._key(path, told))

    def check(self) -> None:
        _upload_options()
        with self._reached():
            asker().list_objects_v2(**self._where(), Prefix=self._inside, MaxKeys=1)

    def entry(self, path: str) -> Entry:
        key = self._key(path)
        name = path.rpartition("/")[2]
        if path:
            with suppress(NotFound), self._reached(path):
                found = asker().head_object(**self._where(), Key=key)
                return Entry(name, path, False, found["ContentLength"])
            if not self._holds_any(path):
                raise _absent(path)
        return Entry(name, path, True, 0)

    def entries(self, path: str = "") -> list[Entry]:
        folders, files = {}, {}
        start = f"{self._key(path)}/" if path else self._inside
        for page in self._pages(Prefix=start, Delimiter="/"):
            for each in page.get("CommonPrefixes", []):
                name = each["Prefix"][len(start) : -1]
                if _is_name(name):
                    folders[name] = 0
            for each in page.get("Contents", []):
                name = each["Key"][len(start) :]
                if _is_name(name):
                    files[name] = each["Size"]
        if path and not folders and not files:
            self._require_folder(path)
        beginning = f"{path}/" if path else ""
        return [
            Entry(name, beginning + name, found is folders, size)
            for found in (folders, files)
            for name, size in sorted(found.items())
        ]

    def files(self, path: str = "") -> Iterator[Entry]:
        start = f"{self._key(path)}/" if path else self._inside
        for page in self._pages(Prefix=start):
            for each in page.get("Contents", []):
                relative = each["Key"][len(self._inside) :]
                if is_plain(relative):
                    name = relative.rpartition("/")[2]
                    yield Entry(name, relative, False, each["Size"])

    def head(self, path: str, most: int) -> bytes:
        # Without a range: of an empty file none can be had. What is not read is not sent for long.
        body = self.body(path)
        with self._reached(path), body:
            return bytes(body.read(most))

    def pieces(self, path: str) -> Iterator[bytes]:
        return self.chunks(path, self.body(path))

    def open(self, path: str) -> Opened:
        with self._reached(path):
            return _S3File(self, path, asker().head_object(**self._where(), Key=self._key(path)))

    def body(self, path: str, **more: str) -> Any:
        """A file as it comes, which the caller closes."""
        with self._reached(path):
            return client().get_object(**self._where(), Key=self._key(path), **more)["Body"]

    def chunks(self, path: str, body: Any) -> Iterator[bytes]:
        with self._reached(path), body:
            yield from body.iter_chunks(PIECE)

    def copy(self, path: str, target: Path, told: Told = lambda count: None) -> None:
        with self._reached(path):
            client().download_file(
                self.bucket, self._key(path), str(target), ExtraArgs=_owner() or None, Callback=told
            )

    def put(self, path: str, source: Path) -> None:
        if not path:
            raise NotFound(f"{self} is a folder: a file cannot be put in its place.")
        kind = Entry(source.name, path, False, 0).kind
        with self._reached(path):
            client().upload_file(
                str(source),
                self.bucket,
                self._key(path),
                ExtraArgs={"ContentType": kind} | _owner() | _upload_options(),
            )

    def receive(self, path: str, pieces: Iterable[bytes], size: int | None = None) -> None:
        """As of every folder. In this thread and in parts, one after the other, which are taken back on failure.

        A file of unknown size may have 80 GB.
        """
        from boto3.s3.transfer import TransferConfig

        if not path:
            raise taken(path)
        if len(f"{self._inside}{path}".encode()) > _LONGEST_KEY:
            raise Invalid(f"An object store takes no names of more than {_LONGEST_KEY} bytes.")
        part = max(_PART, -(-(size or 0) // _MOST_PARTS))
        with self._reached(path):
            client().upload_fileobj(
                io.BufferedReader(_Pieces(pieces)),
                self.bucket,
                self._key(path),
                ExtraArgs=_described(path) | _owner() | _upload_options(),
                Config=TransferConfig(
                    multipart_threshold=part, multipart_chunksize=part, use_threads=False
                ),
            )

    @property
    def _inside(self) -> str:
        """What the key of everything in here begins with."""
        return f"{self.prefix}/" if self.prefix else ""

    def _where(self) -> dict[str, str]:
        return {"Bucket": self.bucket} | _owner()

    def _key(self, path: str, told: str = "") -> str:
        if path and not is_plain(path):
            raise outside(told or path)
        key = f"{self._inside}{path}" if path else self.prefix
        if len(key.encode()) > _LONGEST_KEY:
            raise _absent(path)
        return key

    def _pages(self, **asked: str) -> Iterator[dict[str, Any]]:
        with self._reached():
            yield from asker().get_paginator("list_objects_v2").paginate(**self._where(), **asked)

    def _holds_any(self, path: str) -> bool:
        with self._reached():
            asked = {"Prefix": f"{self._key(path)}/", "MaxKeys": 1}
            return bool(asker().list_objects_v2(**self._where(), **asked)["KeyCount"])

    def _require_folder(self, path: str) -> None:
        if not self.entry(path).is_folder:
            raise NotFound(f"{path} is a file, not a folder.")

    def _reached(self, path: str = "") -> AbstractContextManager[None]:
        return reached(self.bucket, path)


class _S3File:
    """An object as it was described: nothing is fetched before pieces are asked for, and then of no other."""

    def __init__(self, folder: S3Folder, path: str, described: Mapping[str, Any]) -> None:
        self._folder, self._path, self._open = folder, path, ExitStack()
        self.size = int(described["ContentLength"])
        self.modified: float = described["LastModified"].timestamp()
        self.tag = str(described["ETag"])

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        part = {} if stop - start == self.size else {"Range": f"bytes={start}-{stop - 1}"}
        body = self._folder.body(self._path, IfMatch=self.tag, **part)
        self._open.enter_context(body)
        return self._folder.chunks(self._path, body)

    def close(self) -> None:
        self._open.close()


class _Pieces(io.RawIOBase):
    """What comes piece by piece, for who wants to read a file. What `pieces` raises is raised."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces, self._rest = iter(pieces), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


@contextmanager
def reached(bucket: str, path: str = "") -> Iterator[None]:
    """Tell what the store answers as Studio's errors: NotFound of this path, else Unavailable."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as failure:
        if failure.response["Error"]["Code"] in _ABSENT:
            raise _absent(path) from None
        raise _out_of_reach(bucket, failure) from failure
    except (BotoCoreError, Boto3Error) as failure:
        raise _out_of_reach(bucket, failure) from failure


def _out_of_reach(bucket: str, failure: Exception) -> Unavailable:
    told = f"The artifact store is out of reach: s3://{bucket} (STUDIO_ARTIFACTS) {_why(failure)}."
    return Unavailable(f"{told} Try again when it is back.")


def _misconfigured(told: str) -> Unavailable:
    return Unavailable(f"The artifact store is out of reach: {told}.")


def _absent(path: str) -> NotFound:
    return NotFound(f"There is no artifact at {path or '/'}.")


def is_plain(path: str) -> bool:
    """Whether a path consists of names that a file may have: not empty, no dots alone, and text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return all(_is_name(name) for name in path.split("/"))


def is_below(address: str, root: str) -> bool:
    """Whether an address of an object store lies below another, of the same store.

    Its key is compared as it stands, since that is how it is opened: neither decoded nor tidied. But
    dots that a later decoding might bring to light are refused.
    """
    try:
        own, parts = urlsplit(root), urlsplit(address)
    except ValueError:
        return False
    if (own.scheme, own.netloc) != (parts.scheme, parts.netloc) or {"?", "#"} & set(address):
        return False
    path = parts.path.rstrip("/")
    # urlsplit drops what the address may still hold where MLflow reads it.
    if not address.startswith(f"{own.scheme}://{own.netloc}{path}") or "\0" in unquote(path):
        return False
    if {".", ".."} & set(_names(path)):
        return False
    first = own.path.rstrip("/")
    return path == first or path.startswith(f"{first}/")


def _names(path: str) -> list[str]:
    while (decoded := unquote(path)) != path:
        path = decoded
    return re.split(r"[/\\]", path)


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _why(failure: Exception) -> str:
    """What is wrong, in words that name what to look at. Never a key."""
    from botocore import exceptions as known

    response = getattr(failure, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return "does not exist"
    if code in _REFUSED:
        return f"refuses the key that Studio has ({code}): see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code:
        return f"answers {code}"
    if isinstance(failure, known.NoCredentialsError | known.PartialCredentialsError):
        return "needs a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(failure, known.SSLError):
        return f"shows a certificate that is not trusted, at {_endpoint()}"
    if isinstance(failure, known.ConnectionError | known.HTTPClientError):
        return f"does not answer at {_endpoint()} ({type(failure).__name__})"
    return f"cannot be asked ({type(failure).__name__}: {failure})"


def _endpoint() -> str:
    return os.environ.get("MLFLOW_S3_ENDPOINT_URL") or str(client().meta.endpoint_url)


def _described(path: str) -> dict[str, str]:
    """What MLflow tells the store of a file, by its name."""
    kind, encoding = mimetypes.guess_type(path)
    told = {"ContentType": kind, "ContentEncoding": encoding}
    return {name: value for name, value in told.items() if value}


def _owner() -> dict[str, str]:
    owner = os.environ.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER", "")
    return {"ExpectedBucketOwner": owner} if owner else {}


def _upload_options() -> dict[str, str]:
    try:
        return dict(json.loads(os.environ.get("MLFLOW_S3_UPLOAD_EXTRA_ARGS") or "{}"))
    except (ValueError, TypeError):
        raise _misconfigured("MLFLOW_S3_UPLOAD_EXTRA_ARGS is not a JSON object") from None


@functools.cache
def client() -> Any:
    """This process's client for files, which its threads share."""
    return _client(_FILE_PATIENCE, 3)


@functools.cache
def asker() -> Any:
    """This process's client for what is answered at once, while somebody waits for a page."""
    return _client(_ASK_PATIENCE, 2)


def _client(patience: float, attempts: int) -> Any:
    """A client whose key and store are those that MLflow's would have."""
    from boto3.session import Session
    from botocore import UNSIGNED
    from botocore.config import Config

    signature = os.environ.get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "s3v4")
    config = Config(
        signature_version=UNSIGNED if signature.lower() == "unsigned" else signature,
        s3={"addressing_style": os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")},
        connect_timeout=3,
        read_timeout=patience,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=32,
    )
    any_certificate = os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in ("true", "1")
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
    verify = False if any_certificate else None  # None: boto3's own choice
    try:
        return Session().client("s3", config=config, endpoint_url=endpoint, verify=verify)
    except ValueError:
        raise _misconfigured(
            "MLFLOW_S3_ENDPOINT_URL is not an address, http://HOST:PORT or https://HOST"
        ) from None
