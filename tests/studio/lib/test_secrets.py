"""Keys, signatures, encryption and digests."""

from __future__ import annotations

import pytest
from cryptography.fernet import InvalidToken

from studio.lib.secrets import decrypt, derive, digest, encrypt, sign, signed


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {derive(secret, purpose) for secret in ("a", "b") for purpose in ("x", "y")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert derive("a", "x") == derive("a", "x")


def test_a_signature_is_for_one_message_and_one_key() -> None:
    key = derive("secret", "test")
    signature = sign(key, "größe")
    assert signed(key, "größe", signature)
    assert not signed(key, "grösse", signature)
    assert not signed(derive("other", "test"), "größe", signature)


@pytest.mark.parametrize("forged", ["", "0", "é", "\ud800", "0" * 64, " " * 64])
def test_a_forged_signature_is_refused(forged: str) -> None:
    assert not signed(derive("secret", "test"), "message", forged)


def test_what_is_encrypted_comes_back() -> None:
    sealed = encrypt("secret", "geheim ✓")
    assert "geheim" not in sealed
    assert encrypt("secret", "geheim ✓") != sealed
    assert decrypt("secret", sealed) == "geheim ✓"


def test_what_another_key_has_encrypted_stays_shut() -> None:
    sealed = encrypt("secret", "geheim")
    with pytest.raises(InvalidToken):
        decrypt("other", sealed)
    with pytest.raises(InvalidToken):
        decrypt("secret", sealed[:-2] + "AA")


def test_a_digest_tells_tokens_apart_and_takes_any_text() -> None:
    assert digest("studio_a") != digest("studio_b")
    assert len(digest("studio_a")) == 64
    assert digest("é\0\ud800")
