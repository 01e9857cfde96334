"""Models' and versions' JSON, made by PostgreSQL: as MLflow's entities become messages, and those JSON.

In all of it `denied` is SQL: the types of which who asks may see nothing.
"""

from __future__ import annotations

from registry.lane.seeing import MODEL_TYPE
from studio.accounts.permissions import WORKSPACE
from studio.lane.json_sql import listed, quoted, record

KEPT = "current_stage <> 'Deleted_Internal'"
_TAG = record({"key": quoted("t.key")}, {"value": quoted("t.value")})
_ALIAS = record({"alias": quoted("l.alias"), "version": quoted("l.version")})
_VERSION_TAGS = listed(
    _TAG,
    f"model_version_tags t WHERE t.workspace = '{WORKSPACE}' AND t.name = v.name AND t.version = v.version",
)
_VERSION_ALIASES = listed(
    quoted("l.alias"),
    f"registered_model_aliases l WHERE l.workspace = '{WORKSPACE}' AND l.name = v.name AND l.version = v.version",
)
_MODEL_TAGS = listed(
    _TAG, f"registered_model_tags t WHERE t.workspace = '{WORKSPACE}' AND t.name = m.name"
)
_MODEL_ALIASES = listed(
    _ALIAS, f"registered_model_aliases l WHERE l.workspace = '{WORKSPACE}' AND l.name = m.name"
)
# Of each stage the latest version.
_LATEST = f"""(
    SELECT min(s.version) AS first, max(s.version) AS version FROM model_versions s
    WHERE s.workspace = '{WORKSPACE}' AND s.name = m.name AND s.{KEPT} GROUP BY s.current_stage
) latest JOIN model_versions v ON v.workspace = '{WORKSPACE}' AND v.name = m.name AND v.version = latest.version"""  # noqa: S608


def version_json(denied: str, *, aliases: bool = False) -> str:
    """An expression, of text, for a row `v`."""
    more = {"aliases": _VERSION_ALIASES} if aliases else {}
    return record(
        {"name": quoted("v.name"), "version": quoted("v.version")},
        {
            "creation_timestamp": "v.creation_time",
            "last_updated_timestamp": "v.last_updated_time",
            "user_id": quoted("v.user_id"),
            "current_stage": quoted("v.current_stage"),
            "description": quoted("v.description"),
            "source": quoted("v.source"),
            "run_id": _of_run("v.run_id", denied),
            "status": quoted("v.status"),
            "status_message": quoted("nullif(v.status_message, '')"),
            "tags": _VERSION_TAGS,
            "run_link": _of_run("v.run_link", denied),
            **more,
        },
    )


def model_json(denied: str) -> str:
    """An expression, of text, for a row `m`."""
    # MLflow asks for no order: what an index gives it comes as the stages were first used.
    latest = f"(SELECT '[' || string_agg({version_json(denied)}, ',' ORDER BY latest.first) || ']' FROM {_LATEST})"  # noqa: S608
    return record(
        {"name": quoted("m.name")},
        {
            "creation_timestamp": "m.creation_time",
            "last_updated_timestamp": "nullif(m.last_updated_time, 0)",
            "description": quoted("nullif(m.description, '')"),
            "latest_versions": f"CASE WHEN {MODEL_TYPE} || '_version' <> ALL ({denied}) THEN {latest} END",
            "tags": _MODEL_TAGS,
            "aliases": _MODEL_ALIASES,
        },
    )


def _of_run(column: str, denied: str) -> str:
    return f"CASE WHEN 'run' <> ALL ({denied}) OR {column} = '' THEN {quoted(column)} END"
