"""Studio's settings for processes of tests that prove many passwords: the real hash takes 0.4 s of a core each."""

from __future__ import annotations

from studio.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
