"""How the stand-in comes to hold memory: by itself, or by children that nobody waits for."""

from __future__ import annotations

import subprocess
import sys
import time

_MIB = b"x" * (1 << 20)
_kept: list[bytes] = []


def hold(mib: int) -> str:
    _kept.append(_MIB * mib)
    return ""


def hoard(mib: int) -> str:
    """And never get any further."""
    hold(mib)
    time.sleep(600)
    return ""


def orphan(mib: int) -> str:
    """Have a grandchild hold it whose parent has ended. Returns its pid."""
    holding = f"import time; held = b'x' * {mib << 20}; time.sleep(600)"
    starting = "import subprocess, sys; "
    starting += "print(subprocess.Popen([sys.executable, '-S', '-c', sys.argv[1]], stdout=2).pid)"
    told = subprocess.run(
        [sys.executable, "-S", "-c", starting, holding], stdout=subprocess.PIPE, check=True
    )
    return told.stdout.decode().strip()


def outcast(mib: int) -> str:
    """Have a child hold it that leads a session of its own. Returns its pid."""
    holding = f"import time; held = b'x' * {mib << 20}; time.sleep(600)"
    command = [sys.executable, "-S", "-c", holding]
    return str(subprocess.Popen(command, start_new_session=True).pid)


WAYS = {"hold": hold, "hoard": hoard, "orphan": orphan, "outcast": outcast}
