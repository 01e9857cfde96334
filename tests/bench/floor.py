"""What PostgreSQL alone does of the same: the lane's own statements, prepared, by as many psql as there are connections.

The statements are those that the lane sends for a row's requests, noted in a process of Studio; each is sent again
with another number in it. They run in a copy of Studio's database as it was before the rows were measured.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from studio.lane.answers import answer
from studio.lane.asking import Asker
from studio.lane.messages import Body
from studio.launch.postgres import program
from studio.lib.secrets import digest
from tests.bench.load import Conversation
from tests.bench.sides import Side
from tests.bench.writes import NUMBERS, ROWS, Row, Written, check
from tests.support.live import Studio
from tests.support.sent import noted

NAME = "the same SQL in psql"
_NOTED = "12345678"  # the number in the statements that were noted
_FIRST = 10  # conversations of each psql in the first measurement, by which others are sized
_CLOCK = "SELECT extract(epoch FROM clock_timestamp());"
_COPY_RUN = """
    INSERT INTO runs SELECT copy.* FROM runs r,
        jsonb_populate_record(r, jsonb_build_object('run_uuid', %s::text)) copy WHERE r.run_uuid = %s
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """What one conversation of a row is to PostgreSQL. `executed`: by number of statement, the literals it was given."""

    run: str  # its id is among the literals
    statements: list[str]
    executed: str


class Floor:
    """Notes what the rows send, and copies the database: to be made before anything is measured."""

    def __init__(self, studio: Studio, side: Side, rows: Sequence[Row]) -> None:
        named = [row.name for row in rows]
        command = f"from tests.bench.floor import note; print(note({asdict(side)!r}, {named!r}))"
        told = json.loads(studio.manage("shell", "--verbosity=0", "-c", command))
        self._noted = {name: Noted(**sent) for name, sent in told.items()}
        copy = _copied(side.database)
        self._side = Side(NAME, side.address, copy, side.experiment)
        self._rates: dict[str, float] = {}

    def rate(self, row: Row, seconds: float) -> float:
        """Conversations a second, all of them found again in the database."""
        many = max(_FIRST, round(self._rates.get(row.name, 0) * seconds / row.connections))
        written, sent = Written(), self._noted[row.name]
        with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
            scripts = [Path(folder) / f"{place}.sql" for place in range(row.connections)]
            for script in scripts:
                script.write_text(self._script(row, sent, many, written))
            took = _seconds(scripts, self._side.database)
        done = many * row.connections
        check(self._side, row, written, done)
        self._rates[row.name] = done / took
        return done / took

    def _script(self, row: Row, sent: Noted, many: int, written: Written) -> str:
        """Of one connection: the statements, then as many conversations between two times."""
        runs = [uuid.uuid4().hex for _ in range(many if row.makes_runs else 1)]
        written.runs += runs
        if not row.makes_runs:
            with psycopg.connect(self._side.database) as connection:
                connection.execute(_COPY_RUN, [runs[0], sent.run])
        prepared = [f"PREPARE s{place} AS {text};" for place, text in enumerate(sent.statements)]
        executed = (
            sent.executed.replace(sent.run, run).replace(_NOTED, str(next(NUMBERS)))
            for run, _ in zip(itertools.cycle(runs), range(many), strict=False)
        )
        lines = [*prepared, _CLOCK, "\\o /dev/null", *executed, "\\o", _CLOCK]
        return "\n".join(lines)


def _seconds(scripts: list[Path], database: str) -> float:
    """From the first statement of any to the last, the scripts running at once."""
    command: list[str | Path] = [program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-f"]
    environment = os.environ | of_libpq(database)
    going = [
        subprocess.Popen(
            [*command, script],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script in scripts
    ]
    times: list[float] = []
    for process in going:
        told, failed = process.communicate()
        if process.returncode:
            raise RuntimeError(f"psql: {failed[-2000:]}")
        times += [float(line) for line in told.split()]
    return max(times) - min(times)


def _copied(database: str) -> str:
    """The address of a new database with all that this one holds."""
    name = "bench_floor"
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in ("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}"):
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    copy = make_conninfo(database, dbname=name)
    with tempfile.NamedTemporaryFile(prefix="studio-bench-") as dump:
        for command, address in (
            (["pg_dump", "--no-owner", "--file", dump.name], database),
            (["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", dump.name], copy),
        ):
            line: list[str | Path] = [program(command[0]), *command[1:]]
            environment = os.environ | of_libpq(address)
            subprocess.run(line, env=environment, stdout=subprocess.DEVNULL, check=True)
    return copy


def of_libpq(address: str) -> dict[str, str]:
    names = {"dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD", "host": "PGHOST"}
    told = conninfo_to_dict(address)
    return {variable: str(told[name]) for name, variable in names.items()}


def note(given: dict[str, Any], named: list[str]) -> str:
    """The Noted of each named row, as JSON. Runs in a process of Studio, and answers in the place of web."""
    with psycopg.connect(settings.DATABASE_URL) as connection:
        rows = [row for row in ROWS if row.name in named]
        found = {row.name: _noted(row, Side(**given), connection) for row in rows}
    return json.dumps({name: asdict(sent) for name, sent in found.items()})


def _noted(row: Row, side: Side, connection: psycopg.Connection[Any]) -> Noted:
    written = Written()
    with noted() as sent:
        _converse(row.talk(side, written, itertools.repeat(int(_NOTED)))(), side.token)
    executed = [f"{one.executed(f's{place}', connection)};" for place, one in enumerate(sent)]
    return Noted(written.runs[-1], [one.numbered for one in sent], "\n".join(executed))


def _converse(talk: Conversation, token: str) -> None:
    """Answer each request as web would."""
    asker, request = Asker(digest(token)), next(talk)
    while True:
        head, _, body = request.partition(b"\r\n\r\n")
        route = head.split(b" ")[1].decode().removeprefix("/api/2.0/")
        status, told, _ = answer(route, asker, Body(body, "application/json"))
        assert status == 200, told
        try:
            request = talk.send(told)
        except StopIteration:
            return
