"""A typo in a setting stops the start with one line that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from studio.lib.env import (
    DEFAULTS,
    env_bool,
    env_choice,
    env_folder,
    env_hosts,
    env_list,
    env_port,
    env_text,
    env_url,
)
from tests.support.settings import read_settings

KEY = "an-example-of-32-random-characters"
Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """The settings as a process with this environment reads them."""

    def load(**environment: str) -> dict[str, Any]:
        return read_settings(monkeypatch, **{"STUDIO_HOME": str(tmp_path / "home")} | environment)

    return load


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "STUDIO_PORT",
            ["0", "65536", "-1", "80a", "8000.0", " ", "1e3", "８０", "tcp://10.0.0.1:80"],
        ),
        (
            "STUDIO_BIND",
            ["127.0.0.1:8000", "http://x", "*", "a b", "[::1]", "300.1.1.1", "1.2", "-x"],
        ),
        ("STUDIO_SCORING_PORT", ["0", "http"]),
        (
            "STUDIO_PUBLIC_URL",
            [
                "studio.example.com",
                "ftp://x",
                "http://",
                "http:///path",
                "http://[::1",
                "https://x:no",
                "https://x:0",
                "x",
                "https://x/studio",
                "https://user:geheim@x",
                "https://x?y",
                "https://x#y",
                "https://a_b",
            ],
        ),
        ("STUDIO_SCORING_URL", ["localhost:8001", "http://", "https://x/y?z", "https://u@x"]),
        ("STUDIO_WORKSPACES", ["true", "True", "1"]),
        ("STUDIO_ALLOWED_HOSTS", ["https://x", "x:8000", "*", ".", "a b", "x/y", "x,*"]),
        ("STUDIO_TRUSTED_PROXIES", ["nginx", "10.0.0.7/24", "10.0.0.0/33"]),
        ("STUDIO_SECRET_KEY", ["short", "x" * 64, "with a space in it, but long enough", "é" * 40]),
        ("STUDIO_METRICS_TOKEN", ["short", "aaaaaaaaaaaaaaaaaaaa", "a token with spaces in it"]),
        (
            "STUDIO_ENVIRONMENTS_GB",
            ["0", "0.0", "-1", "20GB", "1e3", "nan", "inf", "1,5", "9" * 400],
        ),
        ("STUDIO_LOG_FORMAT", ["xml", "JSON", "text "]),
        ("STUDIO_HOME", ["relative", "./home", "s3://bucket/home", "~nobody-of-this-name/home"]),
        (
            "STUDIO_ARTIFACTS",
            [
                "relative/artifacts",
                "gs://x",
                "file:///x",
                "s3://",
                "s3:///prefix",
                "s3://b",
                "s3://bucket//x",
                "s3://bucket/../x",
                "s3://bucket/./x",
                "s3://bucket/a b",
                "s3://bucket/%2e%2e",
                "s3://bucket/x?y",
                "s3://bucket/x#y",
                "s3://bucket:9000/x",
                "S3://bucket/x",
                "s3://bucket/x\n",
                "s3://key:secret@bucket",
            ],
        ),  # fmt: skip
        (
            "DATABASE_URL",
            [
                "mysql://h/d",
                "sqlite:///d",
                "postgresql:",
                "h/d",
                "postgresql://h",
                "postgresql://h/d?nope=1",
                "postgresql://h:0/d",
                "postgresql://u:p%zz@h/d",
                "postgresql://h/d?sslrootcert=/nowhere/ca.crt",
            ],
        ),
        (
            "REDIS_URL",
            [
                "http://h",
                "redis",
                "amqp://h",
                "redis:",
                "redis:///0",
                "redis://h/name",
                "redis://h:port/0",
                "redis://h/0?ssl_ca_certs=/etc/ssl",
                "redis://h/0?socket_timeout=3",
                "rediss://h/0?ssl_cert_reqs=maybe",
                "rediss://h/0?ssl_check_hostname=maybe",
                "rediss://h/0?ssl_ca_certs=/nowhere/ca.crt",
                "unix://?db=0",
            ],
        ),
    ],
)
def test_a_value_that_cannot_be_right_stops_the_start(
    load: Load, name: str, values: list[str]
) -> None:
    for value in values:
        with pytest.raises(ImproperlyConfigured) as refusal:
            load(**{name: value})
        (line,) = str(refusal.value).splitlines()
        assert name in line, value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://user:geheim@host/name"),
        ("DATABASE_URL", "postgresql://user:geheim%zz@host/name"),
        ("DATABASE_URL", "postgresql://user:geheim@host/name?nope=1"),
        ("DATABASE_URL", "postgresql://user:geheim@host"),
        ("REDIS_URL", "mysql://user:geheim@host/name"),
        ("REDIS_URL", "redis://user:geheim@host/name"),
        ("REDIS_URL", "redis://user:geheim@host:port"),
        ("STUDIO_PUBLIC_URL", "https://user:geheim@host"),
        ("STUDIO_SECRET_KEY", "geheim"),
        ("STUDIO_METRICS_TOKEN", "geheim"),
        ("STUDIO_ARTIFACTS", "s3://key:geheim@bucket"),
    ],
)
def test_a_refusal_does_not_tell_the_password(load: Load, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        load(**{name: value})
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("STUDIO_PROT", "STUDIO_PROT: there is no such setting; did you mean STUDIO_PORT?"),
        ("STUDIO_SECRET", "did you mean STUDIO_SECRET_KEY?"),
        ("STUDIO_DATABASE", "STUDIO_DATABASE: there is no such setting; "),
        ("STUDIO_XYZZY", "docs/settings.md lists all of them"),
    ],
)
def test_a_name_that_is_no_setting_stops_the_start(
    load: Load, tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        load(**{name: "8000"})
    (line,) = str(refusal.value).splitlines()
    assert told in line
    assert not (tmp_path / "home").exists(), "nothing is made by a start that is refused"


def test_names_that_studio_and_its_pages_use_otherwise_are_left_alone(load: Load) -> None:
    load(STUDIO_UP_MARK="1", STUDIO_KEY="2", STUDIO_TOKEN="3", STUDIO_XYZZY="")


def test_web_and_scoring_cannot_have_the_same_port(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured, match="STUDIO_PORT and STUDIO_SCORING_PORT"):
        load(STUDIO_PORT="9000", STUDIO_SCORING_PORT="9000")
    with pytest.raises(ImproperlyConfigured, match="STUDIO_PORT and STUDIO_SCORING_PORT"):
        load(STUDIO_SCORING_PORT="8000")


def test_kubernetes_own_variables_are_recognised(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured, match="enableServiceLinks"):
        load(STUDIO_PORT="tcp://10.0.0.1:8000")


def test_a_home_that_is_closed_to_this_user_is_told(load: Load, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match="STUDIO_HOME=.*/file cannot be used"):
        load(STUDIO_HOME=str(tmp_path / "file"))


def test_without_any_setting_studio_is_on_this_machine_alone(load: Load, tmp_path: Path) -> None:
    found = load()
    assert (found["BIND"], found["PORT"], found["SCORING_PORT"]) == ("127.0.0.1", 8000, 8001)
    assert found["PUBLIC_URL"] == "http://127.0.0.1:8000"
    assert found["SCORING_URL"] == "http://127.0.0.1:8001"
    assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "[::1]", "localhost"]
    assert found["ARTIFACTS"] == tmp_path / "home" / "artifacts"
    assert found["LOG_FORMAT"] == "text"
    assert found["ENVIRONMENTS_BYTES"] == 20_000_000_000
    assert (found["ADMIN_USERNAME"], found["ADMIN_PASSWORD"]) == ("admin", "")
    assert (found["POSTGRES_EMBEDDED"], found["REDIS_EMBEDDED"]) == (True, True)
    assert found["DATABASES"]["default"]["HOST"] == str(found["HOME"].postgres_socket)


def test_no_password_or_key_is_a_default(load: Load, tmp_path: Path) -> None:
    first = load()
    second = load(STUDIO_HOME=str(tmp_path / "another"))
    for name in ("SECRET_KEY", "IDENTITY_KEY", "DATABASE_URL", "REDIS_URL"):
        assert first[name] != second[name], name
    assert len(first["SECRET_KEY"]) >= 40
    assert first["IDENTITY_KEY"] != first["SECRET_KEY"].encode()
    again = load(STUDIO_HOME=str(tmp_path / "home"))
    assert again["SECRET_KEY"] == first["SECRET_KEY"]


def test_what_is_given_counts(load: Load, tmp_path: Path) -> None:
    found = load(
        STUDIO_BIND="0.0.0.0",  # noqa: S104 - what an administrator may write
        STUDIO_PORT="80",
        STUDIO_PUBLIC_URL="https://studio.example.com/",
        STUDIO_ARTIFACTS=str(tmp_path / "other" / ".." / "elsewhere"),
        STUDIO_SECRET_KEY=KEY,
        DATABASE_URL="postgresql://u:p%40ss@db.example.com:5433/studio?sslmode=require",
        REDIS_URL="redis://cache.example.com:6380/2",
    )
    assert found["WEB_ADDRESS"] == "127.0.0.1:80"
    assert found["PUBLIC_URL"] == "https://studio.example.com"
    assert "studio.example.com" in found["ALLOWED_HOSTS"]
    assert found["CSRF_TRUSTED_ORIGINS"] == ["https://studio.example.com"]
    assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is True
    assert found["ARTIFACTS"] == tmp_path / "elsewhere"
    assert found["SECRET_KEY"] == KEY
    assert (found["POSTGRES_EMBEDDED"], found["REDIS_EMBEDDED"]) == (False, False)
    database = found["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == (
        "db.example.com", "5433", "p@ss"
    )  # fmt: skip
    assert database["OPTIONS"]["sslmode"] == "require"
    assert found["CELERY_BROKER_URL"] == "redis://cache.example.com:6380/2"


def test_hosts_that_are_given_are_the_only_ones_beside_this_machine(load: Load) -> None:
    found = load(STUDIO_ALLOWED_HOSTS="a.example.com, .b.example.com,[2001:db8::1]")
    assert found["ALLOWED_HOSTS"] == [
        ".b.example.com", "127.0.0.1", "[2001:db8::1]", "[::1]", "a.example.com", "localhost",
    ]  # fmt: skip
    bound = load(STUDIO_BIND="10.0.0.5", STUDIO_PUBLIC_URL="https://studio.example.com")
    assert {"10.0.0.5", "studio.example.com"} <= {*bound["ALLOWED_HOSTS"]}
    assert "10.0.0.5" in load(STUDIO_BIND="10.0.0.5", STUDIO_ALLOWED_HOSTS="x")["ALLOWED_HOSTS"]


def test_cookies_of_two_studios_on_a_machine_have_different_names(load: Load) -> None:
    first, second = load(STUDIO_PORT="8000"), load(STUDIO_PORT="9000")
    for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"):
        assert first[name] != second[name]


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_X", "")
    assert env_text("STUDIO_X", "default") == "default"
    assert env_bool("STUDIO_X", default=True) is True
    assert env_port("STUDIO_X", 5) == 5
    assert env_choice("STUDIO_X", ("a", "b")) == "a"
    assert env_url("STUDIO_X", "http://x", ("http",)) == "http://x"
    assert env_url("STUDIO_X", "", ("http",)) == ""
    assert env_folder("STUDIO_X", Path("/srv")) == Path("/srv")
    assert env_list("STUDIO_X") == env_hosts("STUDIO_X") == []
    del DEFAULTS["STUDIO_X"]


@pytest.mark.parametrize("raw", ["True", "1", "yes", "on", "flase", " true"])
def test_a_yes_or_no_is_written_as_true_or_false(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("STUDIO_X", raw)
    with pytest.raises(ImproperlyConfigured, match="STUDIO_X"):
        env_bool("STUDIO_X", default=False)


@pytest.mark.parametrize(("raw", "meant"), [("true", True), ("false", False)])
def test_a_yes_or_no_is_read(monkeypatch: pytest.MonkeyPatch, raw: str, meant: bool) -> None:
    monkeypatch.setenv("STUDIO_X", raw)
    assert env_bool("STUDIO_X", default=not meant) is meant


def test_a_home_of_ones_own_is_meant_by_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_X", "~/studio")
    monkeypatch.setenv("HOME", "/home/ann")
    assert env_folder("STUDIO_X", Path("/srv")) == Path("/home/ann/studio")
