"""What a database that MLflow has filled brings along, and which of it lies where Studio does not look."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

_COUNTS = """
WITH places AS (
    SELECT 'run' AS kind, artifact_uri AS place FROM runs
    UNION ALL SELECT 'experiment', artifact_location FROM experiments
), judged AS (
    SELECT kind, starts_with(place, 'mlflow-artifacts:/') AND NOT starts_with(place, 'mlflow-artifacts://')
                 OR starts_with(place, 'mlflow-artifacts:///') AS proxied,
           EXISTS (SELECT FROM unnest(%s::text[]) AS root WHERE starts_with(place, root)) AS inside
    FROM places WHERE place <> ''
)
SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM runs),
       count(*) FILTER (WHERE kind = 'experiment' AND NOT inside AND NOT proxied),
       count(*) FILTER (WHERE kind = 'run' AND NOT inside AND NOT proxied),
       count(*) FILTER (WHERE kind = 'run' AND proxied)
FROM judged
"""
# The folder above that of an experiment, for most of those that lie elsewhere.
_WHERE = """
SELECT regexp_replace(artifact_location, '/[^/]*$', '') AS above FROM experiments
WHERE artifact_location !~ '^mlflow-artifacts:/([^/]|//)'
AND NOT EXISTS (SELECT FROM unnest(%s::text[]) AS root WHERE starts_with(artifact_location, root))
GROUP BY above ORDER BY count(*) DESC, above LIMIT 1
"""
# What MLflow has sealed, by the variable that holds its key.
_SEALED = {
    "MLFLOW_CRYPTO_KEK_PASSPHRASE": "SELECT count(*) FROM secrets",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "SELECT count(*) FROM webhooks WHERE secret <> ''",
}


def told(alias: str) -> str:
    """One line for who moves in: how much has come, and what of it needs a setting."""
    with connections[alias].cursor() as cursor:
        return _artifacts(cursor) + _sealed(cursor)


def _artifacts(cursor: Any) -> str:
    root = str(settings.ARTIFACTS).rstrip("/")
    places = {root} if "://" in root else {root, str(Path(root).resolve())}
    roots = [f"{scheme}{place}/" for place in places for scheme in ("", "file://")]
    cursor.execute(_COUNTS, [roots])
    experiments, runs, experiments_outside, runs_outside, proxied = cursor.fetchone()
    cursor.execute(_WHERE, [roots])
    above = cursor.fetchone()
    line = f"Adopted MLflow's database: {experiments:,} experiments, {runs:,} runs."
    if experiments_outside or runs_outside:
        hint = f"most below {above[0]}" if above else "each in a place of its own"
        line += (
            f" {runs_outside:,} runs and {experiments_outside:,} experiments have their artifacts outside "
            f"STUDIO_ARTIFACTS={root} ({hint}): Studio shows them as text and does not open them. "
            "Set STUDIO_ARTIFACTS to where they are."
        )
    if proxied and _has_nothing(root):
        line += (
            f" {proxied:,} runs have artifacts that MLflow's server kept for them, and nothing is in "
            f"STUDIO_ARTIFACTS={root}: set it to what `mlflow server --artifacts-destination` was, ./mlartifacts "
            "unless that was said."
        )
    return line


def _sealed(cursor: Any) -> str:
    """What cannot be opened with Studio's keys, since the old server had others."""
    missing = []
    for variable, statement in _SEALED.items():
        cursor.execute(statement)
        (count,) = cursor.fetchone()
        if count and not os.environ.get(variable):
            missing.append(variable)
    if not missing:
        return ""
    return f" MLflow has sealed secrets: set {' and '.join(missing)} to what the old server had."


def _has_nothing(root: str) -> bool:
    """Whether it is a local folder without content."""
    if "://" in root:
        return False
    folder = Path(root)
    return not folder.is_dir() or not any(folder.iterdir())
