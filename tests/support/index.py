"""A package index on this machine, with small packages of its own, that can be slow and can ask for a password."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

# What an environment gets besides what its model asks for.
SERVERS_OWN = ("uvicorn-1.0", "httptools-1.0", "uvloop-1.0")


def wheel(
    release: str, requires: Sequence[str] = (), code: str = "", leads_to: str = ""
) -> tuple[str, bytes]:
    """A pure Python wheel of a `name-version`, whose import runs `code`: its file name and its content.

    Or it has no code, and what lies in the folder that it `leads_to` is imported in its place.
    """
    name, version = release.rsplit("-", 1)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{name}.py": f"{code}\nversion = '{version}'\n\n\ndef main():\n    print(version)\n",
        f"{name}.pth": f"{leads_to}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        f"{info}/RECORD": "",
    }
    del files[f"{name}.py" if leads_to else f"{name}.pth"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


@dataclass
class Index:
    files: dict[str, bytes]
    delay: float = 0.0  # seconds before each answer
    password: str = ""
    asked: list[str] = field(default_factory=list)
    closing: Event = field(default_factory=Event)
    port: int = 0

    def url(self, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}/simple"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        self.asked.append(path)
        self.closing.wait(self.delay)
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if self.password and not given.endswith(f":{self.password}"):
            return 401, b"who are you?"
        _, folder, name = path.rstrip("/").split("/", 2)
        if folder == "files":
            return 200, self.files[name]
        found = [file for file in self.files if file.startswith(f"{name}-")]
        links = "".join(f'<a href="/files/{file}">{file}</a>' for file in found)
        return (200, f"<html><body>{links}</body></html>".encode()) if found else (404, b"")


@contextmanager
def index(*releases: str) -> Iterator[Index]:
    """Serve these releases, and the stand-ins for what each environment gets."""
    served = Index(dict(wheel(release) for release in (*releases, *SERVERS_OWN)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = served.answer(self.path, self.headers.get("Authorization", ""))
            try:
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)
            except OSError:
                self.close_connection = True  # whoever asked is gone

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
