"""Registered models: what of one may be added to what is here, and where its versions' files lie."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection

from studio.accounts.permissions import WORKSPACE
from studio.importing.addresses import elsewhere, public, rewritten
from studio.importing.report import Report
from studio.importing.units import REGISTERED_MODEL, Row, Unit

VERSION = "model version"
# Addresses that name another thing of MLflow's, not a place.
_NAMES = ("models:/", "runs:/")
# What MLflow leaves of a version that was deleted.
_REDACTED, _DELETED = "REDACTED-SOURCE-PATH", "Deleted_Internal"


def settle(unit: Unit, report: Report, coming: Mapping[str, str] | None) -> Unit:
    """The model as it can be written: versions that are here are left as they are.

    `coming`: in a dry run, the addresses of the runs and models that would come.
    """
    here = _versions_here(unit.id)
    rows = unit.rows
    fresh, same = _sorted(unit, here, report)
    for row in rows["model_versions"]:
        if row["version"] in same and coming is None:
            _complete(row)
    if here is not None and not fresh:
        report.here[REGISTERED_MODEL] += 1
    elif here:
        report.note(REGISTERED_MODEL, unit.id, "merged into the model of the same name")
    for row in rows["model_versions"]:
        if row["version"] in fresh:
            _readdress(row, report, coming or {})
    # Of a model that is here people may have removed tags and aliases: they come with new versions only.
    aliases = rows.get("registered_model_aliases", [])
    if here is not None:
        aliases = [row for row in aliases if row["version"] not in same]
    return Unit(
        REGISTERED_MODEL,
        unit.id,
        {
            "registered_models": rows["registered_models"],
            "registered_model_tags": rows.get("registered_model_tags", [])
            if here is None or fresh
            else [],
            "model_versions": [row for row in rows["model_versions"] if row["version"] in fresh],
            "model_version_tags": _of(rows.get("model_version_tags", []), fresh),
            "registered_model_aliases": _aliases(unit, aliases, fresh, report),
        },
    )


def _sorted(
    unit: Unit, here: dict[int, int | None] | None, report: Report
) -> tuple[set[int], set[int]]:
    """The numbers of versions that are not here, and of those that are the very same."""
    fresh, same = set(), set()
    for row in unit.rows["model_versions"]:
        number = row["version"]
        if here is None or number not in here:
            fresh.add(number)
        elif here[number] == row.get("creation_time"):
            same.add(number)
            report.here[VERSION] += 1
        else:
            report.left(VERSION, f"{unit.id} v{number}", "another version has this number here")
    return fresh, same


def _versions_here(name: str) -> dict[int, int | None] | None:
    """The versions of a registered model with their times of creation. None: there is no such model."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM registered_models WHERE workspace = %s AND name = %s", [WORKSPACE, name]
        )
        if not cursor.fetchone():
            return None
        cursor.execute(
            "SELECT version, creation_time FROM model_versions WHERE workspace = %s AND name = %s",
            [WORKSPACE, name],
        )
        return dict(cursor.fetchall())


def _complete(row: Row) -> None:
    """Let a version that is here name its files, if they have come since."""
    for name in ("source", "storage_location"):
        there = row.get(name) or ""
        if address := rewritten(there, {}):
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE model_versions SET {name} = %s"  # noqa: S608 - one of two constants
                    f" WHERE workspace = %s AND name = %s AND version = %s AND {name} = %s",
                    [address, WORKSPACE, row["name"], row["version"], elsewhere(there)],
                )


def _of(rows: list[Row], versions: set[int]) -> list[Row]:
    return [row for row in rows if row["version"] in versions]


def _aliases(unit: Unit, rows: list[Row], versions: set[int], report: Report) -> list[Row]:
    """Those that point to a version of this source. One that is here stays where it points to."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT alias, version FROM registered_model_aliases WHERE workspace = %s AND name = %s",
            [WORKSPACE, unit.id],
        )
        here = dict(cursor.fetchall())
    kept = []
    for row in rows:
        alias, version = row["alias"], row["version"]
        if version not in versions:
            report.left("alias", f"{unit.id}@{alias}", "its version did not come")
        elif alias in here and here[alias] != version:
            text = f"points to version {here[alias]} here and stays so (version {version} there)"
            report.note("alias", f"{unit.id}@{alias}", text)
        elif alias not in here:
            kept.append(row)
    return kept


def _readdress(row: Row, report: Report, coming: Mapping[str, str]) -> None:
    """Let the addresses of a version's files name what has come."""
    for name in ("source", "storage_location"):
        address = row.get(name)
        if not address or address == _REDACTED or address.startswith(_NAMES):
            continue
        row[name] = rewritten(address, coming)
        if row[name] is None:
            row[name] = elsewhere(address)
            if name == "source" and row.get("current_stage") != _DELETED:
                told = f"{row['name']} v{row['version']}"
                reason = "its files are not among the artifacts that came"
                report.left(f"files of a {VERSION}", told, reason, public(address))
