"""A real S3 server: a process of moto's, on a port of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import httpx

from tests.support.processes import free_port, until

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI-secret-of-the-store"
BUCKET, PREFIX = "team", "studio"
PAGE = 100  # keys that it lists at once: of Amazon's, 1,000


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What an administrator sets."""
        return {
            "STUDIO_ARTIFACTS": f"s3://{BUCKET}/{PREFIX}",
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @cached_property
    def client(self) -> Any:
        session = boto3.session.Session(KEY, SECRET, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.url)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def put(self, key: str, content: bytes = b"x", bucket: str = BUCKET) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def empty(self) -> None:
        """No object is left, and no bucket but those of the cast."""
        httpx.post(f"{self.url}/moto-api/reset", timeout=10)
        for name in (BUCKET, "elsewhere"):
            self.client.create_bucket(Bucket=name)


@contextmanager
def server() -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = Server(port, process)
    try:
        until(lambda: _answers(found), "the S3 server")
        found.empty()
        yield found
    finally:
        found.client.close()
        process.kill()
        process.wait()


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, "the S3 server has ended"
    try:
        return httpx.get(f"{server.url}/moto-api/", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
