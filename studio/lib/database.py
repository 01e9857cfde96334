"""DATABASE_URL in the three forms it is needed in: libpq's, Django's and SQLAlchemy's; and whether it can be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row

_DJANGO_NAMES = {
    "dbname": "NAME",
    "user": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
}

# How long a database that says nothing is believed to be there, in seconds and, the last, milliseconds: without
# these a machine that has vanished from the network is waited for two hours.
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "35000",
}
_FILES = ("sslrootcert", "sslcert", "sslkey")
_OLDEST = 150000, "15"
# What PostgreSQL or its client says, and what to do about it.
_ADVICE = (
    (r"password authentication failed|no password supplied", "Correct the user or the password"),
    (r'database ".*" does not exist', "Make it with createdb, or correct the name"),
    (r'role ".*" does not exist', "Make it with createuser, or correct the name"),
    (
        r"no pg_hba.conf entry|rejects connection",
        "Let this user in from this machine in pg_hba.conf; add ?sslmode=require if it asks for TLS",
    ),
    (r"does not support SSL", "Turn ssl on there, or leave sslmode out"),
    (r"certificate|SSL", "sslmode, sslrootcert and the server's certificate must fit"),
    (
        r"starting up|shutting down|recovery mode|too many clients|slots are reserved",
        "Try again in a moment",
    ),
    (r"permission denied for database", "GRANT CONNECT, CREATE ON DATABASE to this user"),
)
_NO_ANSWER = "Start PostgreSQL there, or correct the address"
_LOOK = """
    SELECT current_setting('server_version_num')::int AS version,
           current_setting('server_encoding') AS encoding,
           pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool AS readonly,
           current_user AS role,
           current_schema() AS schema,
           current_schema() IS NOT NULL
               AND has_schema_privilege(current_schema(), 'CREATE') AS may_make_tables
"""


def embedded_url(socket_folder: Path, user: str, password: str, name: str) -> str:
    return (
        f"postgresql://{user}:{quote(password, safe='')}@/{name}?host={quote(str(socket_folder))}"
    )


def django_database(url: str) -> dict[str, Any]:
    """A libpq address as an entry of DATABASES. Raises ImproperlyConfigured when libpq cannot read it."""
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError as failure:
        # What it says may hold the password, but for this.
        found = re.search(r'query parameter: "\w+"', str(failure))
        told = (
            f": invalid {found[0]}" if found else ". In a user or password write @ as %40, / as %2F"
        )
        raise ImproperlyConfigured(
            f"DATABASE_URL is not an address that PostgreSQL's client understands{told}"
        ) from None
    names = {_DJANGO_NAMES[key]: str(value) for key, value in given.items() if key in _DJANGO_NAMES}
    if "NAME" not in names:
        raise ImproperlyConfigured("DATABASE_URL names no database: end it with /NAME")
    options = {key: value for key, value in given.items() if key not in _DJANGO_NAMES}
    for name in _FILES:
        path = str(options.get(name, ""))
        if path not in ("", "system") and not Path(path).is_file():
            raise ImproperlyConfigured(f"DATABASE_URL: {name}={path}: there is no such file")
    return {"ENGINE": "django.db.backends.postgresql", **names, "OPTIONS": options}


def sqlalchemy_url(database: Mapping[str, Any]) -> str:
    """A DATABASES entry as the address that MLflow's SQLAlchemy takes, driver psycopg 3."""
    query = {key: value for key, value in database["OPTIONS"].items() if isinstance(value, str)}
    query |= {
        low: database[up] for low, up in (("host", "HOST"), ("port", "PORT")) if database.get(up)
    }
    login = quote(str(database.get("USER", "")), safe="")
    if database.get("PASSWORD"):
        login += f":{quote(str(database['PASSWORD']), safe='')}"
    return (
        f"postgresql+psycopg://{login}@/{quote(str(database['NAME']), safe='')}?{urlencode(query)}"
    )


def with_patience(url: str) -> str:
    """The address with times after which a silent server is given up, where it does not set its own."""
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError:  # told by who reads it next
        return url
    missing = {name: value for name, value in _PATIENCE.items() if name not in given}
    if not missing:
        return url
    for joint in "?&":  # a password may hold either, so that only the outcome tells which one it is
        longer = f"{url}{joint}{urlencode(missing)}"
        try:
            if conninfo_to_dict(longer) == given | missing:
                return longer
        except ProgrammingError:
            continue
    return url


def tell_who_waits(pool: Any) -> None:
    """Called by the pool when it has given up connecting: without one connection nobody need wait on for his.

    Uses private attributes of psycopg_pool, which offers nothing for it: the lock pins its version.
    """
    with pool._lock:
        waiting = [] if pool._nconns else list(pool._waiting)
        if waiting:
            pool._waiting.clear()
    for client in waiting:
        client.fail(psycopg.OperationalError("the database is not answering"))


def address(url: str) -> str:
    """Where it is, for people: no password, and no parameters."""
    told = conninfo_to_dict(url)
    host = str(told.get("host") or "localhost")
    port = f":{told['port']}" if told.get("port") else ""
    user = f"{told['user']}@" if told.get("user") else ""
    if host.startswith("/"):
        return f"postgresql://{user}/{told.get('dbname', '')} in {host}"
    shown = f"[{host}]" if ":" in host else host
    return f"postgresql://{user}{shown}{port}/{told.get('dbname', '')}"


def refuse_unusable(url: str) -> None:
    """Raises ImproperlyConfigured, one line without a password, where Studio cannot keep its tables."""
    try:
        with closing(
            psycopg.connect(url, row_factory=namedtuple_row, client_encoding="utf8")
        ) as connection:
            seen = connection.execute(_LOOK).fetchone()
    except psycopg.OperationalError as failure:
        raise ImproperlyConfigured(_unreachable(url, failure)) from None
    assert seen is not None  # it reads no table
    if wrong := _unfit(seen):
        raise ImproperlyConfigured(f"DATABASE_URL: {address(url)}: {wrong}")


def _unfit(seen: Any) -> str:
    """What is wrong with a database that answers. Nothing: it can be used."""
    least, name = _OLDEST
    if seen.version < least:
        return f"this is PostgreSQL {seen.version // 10000}. Studio needs {name} or later"
    if seen.readonly:
        return "it takes no writes: it is a standby, or read-only. Name the primary"
    if seen.encoding != "UTF8":
        return f"its encoding is {seen.encoding}. Make a database with createdb --encoding=UTF8"
    if seen.schema is None:
        return f"no schema of {seen.role}'s search_path exists. Make one, or correct search_path"
    if not seen.may_make_tables:
        return (
            f"{seen.role} may not make tables there. As its owner: "
            f"GRANT CREATE ON SCHEMA {seen.schema} TO {seen.role}"
        )
    return ""


def _unreachable(url: str, failure: psycopg.OperationalError) -> str:
    # Of several attempts, at a name's two addresses say, the last; of it what follows the address.
    lines = [line for line in str(failure).splitlines() if line.strip() and line[0] != "\t"]
    said = re.sub(r"^.* failed: |^.*FATAL: +", "", lines[-1] if lines else "it did not answer")
    said = re.sub(r"^FATAL: +", "", said)
    advice = next((told for words, told in _ADVICE if re.search(words, said)), _NO_ANSWER)
    password = str(conninfo_to_dict(url).get("password") or "")
    line = f"DATABASE_URL: {address(url)}: {said.rstrip('.')}. {advice}"
    return line.replace(password, "***") if len(password) > 3 else line
