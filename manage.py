#!/usr/bin/env python
"""Studio's command line: `manage.py up` runs everything, `manage.py help` lists the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# They ask a Studio that is there. To load the settings makes a home where there is none.
_ASKING = ("token", "password-link", "status", "backup")


def main() -> None:
    if {*sys.argv[1:2]} & {*_ASKING} and not {"-h", "--help", "--verify"} & {*sys.argv}:
        _refuse_without_home()
    from studio.lib.start import read_settings

    read_settings()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def _refuse_without_home() -> None:
    from studio.lib.home import default_home, not_running

    root = Path(os.environ.get("STUDIO_HOME") or default_home()).expanduser()
    if not root.exists() and not os.environ.get("DATABASE_URL"):
        sys.exit(f"CommandError: {not_running(root)}")


if __name__ == "__main__":
    main()
