"""Two hosts of one Studio behind one nginx, as docs/deploy/ has them: each is a STUDIO_HOME and ports of its own.

On `first` run web, reference, gateway, agent, worker and beat; on `second` web and reference.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.authority import make_certificates
from tests.support.own_servers import own_servers
from tests.support.processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs/deploy/nginx.conf"
UNITS = ROOT / "docs/deploy/systemd"
PASSWORD = "correct-horse-battery-staple"
FIRST = ("reference", "web", "gateway", "agent", "worker", "beat")
SECOND = ("reference", "web")

_MAIN = """
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/studio.conf;
}}
"""


@dataclass
class Host:
    """`environment` is that of its processes, complete."""

    home: Path
    environment: dict[str, str]
    port: int
    names: tuple[str, ...]  # of its processes
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def web(self) -> str:
        """The address of its web process, past the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *names: str) -> None:
        """`manage.py run` for each; not waited for."""
        for name in names:
            with (self.home / f"{name}.out").open("ab") as out:
                self.running[name] = subprocess.Popen(
                    [*_rights(name, self.names == FIRST), sys.executable, "manage.py", "run", name],
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM to each at once. Returns their exit codes; who takes more than 15 s is killed."""
        ending = {name: self.running.pop(name) for name in names if name in self.running}
        for process in ending.values():
            process.terminate()
        for process in ending.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return {name: process.returncode for name, process in ending.items()}

    def manage(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a management command of this host, with these settings besides."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment | more,
            capture_output=True,
            text=True,
            check=False,
        )

    def said(self) -> str:
        """The last lines of each of its processes."""
        told = {path.name: path.read_text()[-2000:] for path in sorted(self.home.glob("*.out"))}
        return "\n".join(f"--- {name}\n{text}" for name, text in told.items())


@dataclass(frozen=True, slots=True)
class Hosts:
    url: str  # of nginx, https
    plain_url: str  # of nginx, http
    authority: Path  # the certificate that vouches for it
    first: Host
    second: Host

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        """Of the one address."""
        trusted = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(base_url=self.url, verify=trusted, timeout=30, headers=headers)


@contextmanager
def hosts() -> Iterator[Hosts]:
    """All of it: PostgreSQL and Redis with TLS, two hosts prepared and running, and nginx before them."""
    folder = Path(tempfile.mkdtemp(prefix="studio-hosts-"))
    folder.chmod(0o711)
    port, plain = free_port(), free_port()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        servers = stack.enter_context(own_servers())
        shared = servers.settings | {
            "STUDIO_PUBLIC_URL": f"https://localhost:{port}",
            "STUDIO_SCORING_URL": f"https://localhost:{port}",
            "STUDIO_SECRET_KEY": "the-same-key-on-all-hosts-and-a-long-one",
            "STUDIO_ARTIFACTS": str(folder / "artifacts"),
            "STUDIO_TRUSTED_PROXIES": "127.0.0.1",
            "STUDIO_ADMIN_PASSWORD": PASSWORD,
            "DJANGO_SETTINGS_MODULE": "tests.support.quick_settings",
        }
        scoring = free_port()
        first = _host(folder / "first", FIRST, shared | {"STUDIO_SCORING_PORT": str(scoring)})
        second = _host(
            folder / "second",
            SECOND,
            shared
            | {
                "STUDIO_SCORING_PORT": str(free_port()),  # where nobody listens
                "STUDIO_GATEWAY_URL": f"http://127.0.0.1:{scoring}",
            },
        )
        done = first.manage("prepare")
        assert done.returncode == 0, done.stderr
        for host in (first, second):
            stack.callback(host.stop, *host.names)
            host.start(*host.names)
        certificates = folder / "certificates"
        certificates.mkdir()
        make_certificates(certificates)
        config = _nginx(
            folder,
            {
                "10.0.0.11:8000": f"127.0.0.1:{first.port}",
                "10.0.0.12:8000": f"127.0.0.1:{second.port}",
                "10.0.0.11:8001": f"127.0.0.1:{scoring}",
                "listen 80;": f"listen 127.0.0.1:{plain};",
                "    listen [::]:80;\n": "",
                "listen 443": f"listen 127.0.0.1:{port}",
                "    listen [::]:443 ssl http2;\n": "",
                "studio.example.com": "localhost",
                "/etc/ssl/certs/studio.pem": str(certificates / "server.crt"),
                "/etc/ssl/private/studio.key": str(certificates / "server.key"),
            },
        )
        stack.enter_context(_running_nginx(config))
        told = Hosts(
            f"https://localhost:{port}",
            f"http://localhost:{plain}",
            certificates / "ca.crt",
            first,
            second,
        )
        try:
            until(lambda: _well(first.web) and _well(second.web), "both hosts are well", 90)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{first.said()}\n{second.said()}") from None
        yield told


def _host(home: Path, names: tuple[str, ...], given: dict[str, str]) -> Host:
    home.mkdir(mode=0o711)
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {"STUDIO_HOME": str(home), "STUDIO_PORT": str(port)}
    return Host(home, kept | given | own, port, names)


def _rights(name: str, of_models: bool) -> list[str]:
    unit = "studio-models@" if of_models else "studio@"
    return rights_of((UNITS / f"{'studio-agent' if name == 'agent' else unit}.service").read_text())


def rights_of(unit: str) -> list[str]:
    """What comes before a command so that root has no more rights in it than the unit leaves it."""
    if os.geteuid() != 0:
        return []
    [kept] = re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    bounds = ",".join(["-all", *(f"+{one.lower().removeprefix('cap_')}" for one in kept.split())])
    return ["setpriv", "--no-new-privs", f"--bounding-set={bounds}", "--inh-caps=-all", "--"]


def render(changes: dict[str, str]) -> str:
    """docs/deploy/nginx.conf with other values. Each of those that are to be changed must be there."""
    text = SITE.read_text()
    for told, here in changes.items():
        assert told in text, f"docs/deploy/nginx.conf does not hold {told!r}"
        text = text.replace(told, here)
    return text


def _nginx(folder: Path, changes: dict[str, str]) -> Path:
    (folder / "studio.conf").write_text(render(changes))
    user = "user root;" if os.geteuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(folder=folder, user=user))
    return main


@contextmanager
def _running_nginx(config: Path) -> Iterator[None]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [program, "-p", str(config.parent), "-c", str(config), "-e", "stderr"]
    tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
