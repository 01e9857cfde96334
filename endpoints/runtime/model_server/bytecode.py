"""
`python -m model_server.bytecode [FLAVOR]...`: imports what models of these flavours need, and ends.

Run once when an environment is built: Python keeps what it has compiled. Here the frameworks that must not
be imported before a fork are imported, too: nothing is forked.
"""

from __future__ import annotations

import contextlib
import importlib
import sys

from .imports import ALWAYS, names_of

_OWN = ("__main__", "scoring", "replica", "template")
# What MLflow imports only when it loads a model, where it is installed at all.
_WHEN_LOADING = ("importlib_metadata._adapters", "pyarrow.pandas_compat")


def main(flavors: list[str]) -> None:
    names = [*ALWAYS, *(f"{__package__}.{name}" for name in _OWN)]
    for flavor in flavors:
        names += names_of(flavor)
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - a model that needs it says it better
            print(f"not compiled: {name} ({failure})")  # noqa: T201 - read by who builds
    for name in _WHEN_LOADING:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    main(sys.argv[1:])
