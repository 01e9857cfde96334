"""Keys derived from STUDIO_SECRET_KEY, signing and encryption with them, and digests of random tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet


def derive(secret_key: str, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose, so that no two uses share a key."""
    return hmac.digest(secret_key.encode(), f"studio:{purpose}".encode(), "sha256")


def sign(key: bytes, message: str) -> str:
    return hmac.new(key, message.encode(), "sha256").hexdigest()


def signed(key: bytes, message: str, signature: str) -> bool:
    """Whether `signature` was made by `sign(key, message)`. Takes the same time either way."""
    return hmac.compare_digest(sign(key, message).encode(), signature.encode("utf-8", "replace"))


def encrypt(secret_key: str, text: str) -> str:
    return _fernet(secret_key).encrypt(text.encode()).decode()


def decrypt(secret_key: str, sealed: str) -> str:
    """Raises cryptography.fernet.InvalidToken when the secret key is another one."""
    return _fernet(secret_key).decrypt(sealed.encode()).decode()


def digest(token: str) -> str:
    """SHA-256 of a random token. Enough for 256 bits of randomness; never for passwords."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _fernet(secret_key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derive(secret_key, "encryption")))
