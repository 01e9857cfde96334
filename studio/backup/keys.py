"""The secrets of a home that a backup needs to be of use: the secret key, and the first administrator's password.

Endpoint keys and MLflow's own secrets in the database are sealed with STUDIO_SECRET_KEY. Where that is given
by the environment it is not copied: the backup knows it by a fingerprint, and asks for the same at restore.
The passwords of the embedded servers are made anew by each home.
"""

from __future__ import annotations

import os
import shutil

from django.conf import settings

from studio.backup.copying import digest
from studio.backup.failure import BackupFailed
from studio.backup.folder import Folder
from studio.backup.manifest import Manifest
from studio.lib.home import Home, private_folder
from studio.lib.secrets import derive

KEY = "secret-key"
NAMES = {KEY, "admin-password"}
_VARIABLE = "STUDIO_SECRET_KEY"


def fingerprint(secret_key: str) -> str:
    return derive(secret_key, "fingerprint in a backup").hex()


def save(folder: Folder) -> dict[str, str]:
    """Copy what this home keeps itself. Returns digests by name."""
    folder.secrets.mkdir()
    names = [settings.HOME.admin_password.name]
    if not os.environ.get(_VARIABLE):
        names.append(KEY)
    saved = {}
    for name in names:
        path = settings.HOME.root / "secrets" / name
        if path.exists():
            target = folder.secrets / name
            shutil.copyfile(path, target)
            saved[name] = digest(target, lambda _: None)[0]
    return saved


def require_same(manifest: Manifest) -> None:
    """Raises BackupFailed where what is sealed in the backup could not be opened after its restore."""
    given = os.environ.get(_VARIABLE, "")
    if given and fingerprint(given) != manifest.key:
        brings = ", or unset it: the backup brings its own" if KEY in manifest.secrets else ""
        raise BackupFailed(
            f"{_VARIABLE} is not the key of this backup, and endpoint keys could not be read with it. "
            f"Set the one that Studio had when it was taken{brings}."
        )
    if not given and KEY not in manifest.secrets:
        raise BackupFailed(
            f"This Studio had its {_VARIABLE} from the environment, so it is not in the backup. "
            "Set the same one here, and wherever the restored Studio is started."
        )


def bring_back(folder: Folder, manifest: Manifest, home: Home) -> None:
    """Write the backup's secrets into the home. A key that the environment gives goes before the file."""
    place = private_folder(home.root / "secrets")
    for name in manifest.secrets:
        half = place / f"{name}.half"
        half.touch(mode=0o600)
        shutil.copyfile(folder.secrets / name, half)
        half.replace(place / name)
