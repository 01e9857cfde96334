"""The lane's SQL. A statement is made of parts, so that each table is written in one way, whatever asks for it.

Every statement begins with who asks and what he may, and every part writes only where the run is `open` to him.
Two writers may wait for each other, never in a circle: a table's rows are written in the order of their keys, and
the tables always in the same order. PostgreSQL first runs what the statement's row is made of, from left to right,
then all other writes, the last first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from studio.lane.statements import asker, statement

RUN = """
    SELECT r.run_uuid, r.experiment_id, r.lifecycle_stage,
           CASE WHEN a.is_superuser THEN 4
           ELSE studio_mlflow_level(a.username, 'experiment', r.experiment_id::text, 'run') END AS level
    FROM asker a, runs r WHERE r.run_uuid = %(run)s
"""
_CLASH = """
    SELECT json_agg(json_build_array(g.key, p.value, g.value) ORDER BY g.place)
               FILTER (WHERE p.value <> g.value) AS told,
           coalesce(array_agg(p.key), '{}') AS known
    FROM run, unnest(%(param_keys)s::text[], %(param_values)s::text[]) WITH ORDINALITY g (key, value, place)
    JOIN params p ON p.key = g.key AND p.run_uuid = %(run)s
"""
# What another writer has stored since the statement began is met by the conflict alone: there the same value is as
# good as stored by this one.
_PARAMS = """
    INSERT INTO params AS p (key, value, run_uuid)
    SELECT g.key, g.value, open.run_uuid
    FROM open, clash, unnest(%(param_keys)s::text[], %(param_values)s::text[]) g (key, value)
    WHERE g.key <> ALL (clash.known)
    ORDER BY g.key COLLATE "C"
    ON CONFLICT (key, run_uuid) DO UPDATE SET value = p.value WHERE p.value = excluded.value
    RETURNING 1
"""
_METRICS = """
    INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT g.*, open.run_uuid
    FROM open, unnest(%(keys)s::text[], %(values)s::float8[], %(times)s::int8[], %(steps)s::int8[], %(nans)s::bool[])
         g (key, value, timestamp, step, is_nan)
    ORDER BY g.key COLLATE "C", g.step, g.timestamp, g.value, g.is_nan
    ON CONFLICT DO NOTHING
"""
# One point a key: the points' own latest. Of values that are equal in all three the first that came counts, as in
# MLflow: NaN and 0 are both stored as 0.
_LATEST = """
    INSERT INTO latest_metrics AS l (key, value, timestamp, step, is_nan, run_uuid)
    SELECT g.*, open.run_uuid
    FROM open, unnest(%(latest_keys)s::text[], %(latest_values)s::float8[], %(latest_times)s::int8[],
                      %(latest_steps)s::int8[], %(latest_nans)s::bool[]) g (key, value, timestamp, step, is_nan)
    ORDER BY g.key COLLATE "C"
    ON CONFLICT (key, run_uuid) DO UPDATE
    SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value) > (l.step, l.timestamp, l.value)
"""
# A deleted model is nobody's but an administrator's, as in MLflow.
_MODELS = """
    SELECT g.id, EXISTS (SELECT FROM logged_models m WHERE m.model_id = g.id) AS known,
           (SELECT CASE WHEN a.is_superuser THEN 4 WHEN m.lifecycle_stage = 'active'
                   THEN studio_mlflow_level(a.username, 'experiment', m.experiment_id::text, 'logged_model') END
            FROM logged_models m WHERE m.model_id = g.id) AS level
    FROM asker a, (SELECT DISTINCT unnest(%(model_ids)s::text[])) g (id)
"""
_MODEL_POINTS = """unnest(
        %(model_ids)s::text[], %(model_keys)s::text[], %(model_times)s::int8[], %(model_steps)s::int8[],
        %(model_values)s::float8[], %(datasets)s::text[], %(digests)s::text[])
        WITH ORDINALITY g (model_id, key, timestamp, step, value, dataset_name, dataset_digest, place)"""
_MODEL_CLASH = f"""
    SELECT count(*) FILTER (WHERE (l.metric_value, l.dataset_name, l.dataset_digest)
                            IS DISTINCT FROM (g.value, g.dataset_name, g.dataset_digest)) AS taken,
           coalesce(array_agg(g.place), '{{}}') AS known
    FROM {_MODEL_POINTS}
    JOIN logged_model_metrics l ON l.model_id = g.model_id AND l.metric_name = g.key
    AND l.metric_timestamp_ms = g.timestamp AND l.metric_step = g.step AND l.run_id = %(run)s
"""  # noqa: S608 - constants
_MODEL_METRICS = f"""
    INSERT INTO logged_model_metrics AS l (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,
                                      dataset_name, dataset_digest, experiment_id, run_id)
    SELECT g.model_id, g.key, g.timestamp, g.step, g.value, g.dataset_name, g.dataset_digest, open.experiment_id,
           open.run_uuid
    FROM open, model_clash, {_MODEL_POINTS} WHERE g.place <> ALL (model_clash.known)
    ORDER BY g.place
    ON CONFLICT (model_id, metric_name, metric_timestamp_ms, metric_step, run_id)
    DO UPDATE SET metric_value = l.metric_value
    WHERE (l.metric_value, l.dataset_name, l.dataset_digest)
          IS NOT DISTINCT FROM (excluded.metric_value, excluded.dataset_name, excluded.dataset_digest)
    RETURNING 1
"""  # noqa: S608 - constants
_TAGS = """
    INSERT INTO tags AS t (key, value, run_uuid)
    SELECT g.key, g.value, open.run_uuid
    FROM open, unnest(%(tag_keys)s::text[], %(tag_values)s::text[]) g (key, value)
    ORDER BY g.key COLLATE "C"
    ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
    WHERE t.value IS DISTINCT FROM excluded.value
    RETURNING t.key
"""
# A run's name is a tag too, and the tag is written first: of two who name a run the second waits there. Where it then
# changes the tag it changes the name, whatever that was when the statement began.
_NAME = """
    UPDATE runs SET name = %(name)s FROM open
    WHERE runs.run_uuid = open.run_uuid
    AND ((SELECT count(*) FROM new_tags WHERE key = 'mlflow.runName') > 0 OR runs.name IS DISTINCT FROM %(name)s)
    RETURNING 1
"""
_UPDATE = """
    UPDATE runs SET status = coalesce(%(status)s, runs.status), end_time = coalesce(%(end_time)s, runs.end_time),
                    name = coalesce(%(name)s, runs.name)
    FROM open, (SELECT count(*) FROM new_tags) before WHERE runs.run_uuid = open.run_uuid
    RETURNING runs.*
"""
_UNTAG = """
    DELETE FROM tags USING open WHERE tags.run_uuid = open.run_uuid AND tags.key = %(tag)s
    RETURNING 1
"""
# Datasets are an experiment's. One that is known stays as it is; one that another writer is storing is waited for.
_SENT_DATASETS = """
    SELECT * FROM unnest(%(dataset_name)s::text[], %(dataset_digest)s::text[], %(dataset_source_type)s::text[],
                         %(dataset_source)s::text[], %(dataset_schema)s::text[], %(dataset_profile)s::text[])
    WITH ORDINALITY g (name, digest, source_type, source, schema, profile, place)
"""
_KNOWN_DATASETS = """
    SELECT d.dataset_uuid, d.name, d.digest
    FROM open, sent g JOIN datasets d USING (name, digest) WHERE d.experiment_id = open.experiment_id
"""
_NEW_DATASETS = """
    INSERT INTO datasets AS d (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source,
                               dataset_schema, dataset_profile)
    SELECT replace(gen_random_uuid()::text, '-', ''), open.experiment_id, g.name, g.digest, g.source_type, g.source,
           g.schema, g.profile
    FROM open, sent g
    WHERE NOT EXISTS (SELECT FROM known_datasets k WHERE (k.name, k.digest) = (g.name, g.digest))
    ORDER BY g.name COLLATE "C", g.digest COLLATE "C"
    ON CONFLICT (experiment_id, name, digest) DO UPDATE SET dataset_uuid = d.dataset_uuid
    RETURNING d.dataset_uuid, d.name, d.digest
"""
_INPUT_DATASETS = """
    SELECT d.dataset_uuid, g.place
    FROM sent g JOIN (SELECT * FROM known_datasets UNION ALL SELECT * FROM new_datasets) d USING (name, digest)
"""
_NEW_INPUTS = """
    INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
    SELECT replace(gen_random_uuid()::text, '-', ''), 'DATASET', d.dataset_uuid, 'RUN', open.run_uuid
    FROM open, input_datasets d
    UNION ALL SELECT replace(gen_random_uuid()::text, '-', ''), 'RUN_INPUT', open.run_uuid, 'MODEL_INPUT', g.id
    FROM open, unnest(%(input_ids)s::text[]) g (id)
    ORDER BY 2, 3, 5
    ON CONFLICT DO NOTHING RETURNING input_uuid, source_id
"""
_INPUT_TAGS = """
    INSERT INTO input_tags (input_uuid, name, value)
    SELECT i.input_uuid, g.key, g.value
    FROM new_inputs i JOIN input_datasets d ON d.dataset_uuid = i.source_id
    JOIN unnest(%(tag_place)s::int8[], %(tag_key)s::text[], %(tag_value)s::text[]) g (place, key, value) USING (place)
"""


@dataclass(frozen=True)
class Part:
    """What one kind of writing adds to a statement: subqueries by their names, expressions by what they tell.

    `checks` look first; where `bar` holds, nothing is written at all.
    """

    writes: dict[str, str]
    checks: dict[str, str] = field(default_factory=dict)
    bar: str = ""
    told: dict[str, str] = field(default_factory=dict)


# In the order in which a statement has them.
PARTS = {
    "params": Part(
        checks={"clash": _CLASH},
        bar="EXISTS (SELECT FROM clash WHERE told IS NOT NULL)",
        writes={"new_params": _PARAMS},
        told={
            "clash": "(SELECT told FROM clash)",
            # Another writer has stored another value since the statement began. It fails, with DivisionByZero,
            # and the next attempt sees which.
            "raced": """1 / (NOT EXISTS (SELECT FROM open) OR cardinality((SELECT known FROM clash))
                + (SELECT count(*) FROM new_params) = cardinality(%(param_keys)s::text[]))::int""",
        },
    ),
    "models": Part(
        checks={"models": _MODELS, "model_clash": _MODEL_CLASH},
        bar="EXISTS (SELECT FROM models WHERE coalesce(level, 0) < 3) OR (SELECT taken > 0 FROM model_clash)",
        writes={"model_points": _MODEL_METRICS},
        told={
            "models_known": "(SELECT bool_and(known) FROM models)",
            "models_level": "(SELECT min(coalesce(level, 0)) FROM models)",
            "model_clash": "(SELECT taken FROM model_clash)",
            "model_raced": """1 / (NOT EXISTS (SELECT FROM open) OR cardinality((SELECT known FROM model_clash))
                + (SELECT count(*) FROM model_points) = cardinality(%(model_ids)s::text[]))::int""",
        },
    ),
    # Told, so that they always come here: with the two after it, which wait for them, or alone.
    "tags": Part(writes={"new_tags": _TAGS}, told={"tagged": "(SELECT count(*) FROM new_tags)"}),
    "name": Part(writes={"named": _NAME}, told={"named": "(SELECT count(*) FROM named)"}),
    "update": Part(
        writes={"updated": _UPDATE}, told={"run": "(SELECT row_to_json(updated) FROM updated)"}
    ),
    "untag": Part(
        writes={"untagged": _UNTAG}, told={"untagged": "(SELECT count(*) FROM untagged)"}
    ),
    "metrics": Part(writes={"points": _METRICS, "latest": _LATEST}),
    "inputs": Part(
        checks={"models": _MODELS},
        # An administrator may name a model that is not there, as in MLflow.
        bar="NOT (SELECT is_superuser FROM asker) AND EXISTS (SELECT FROM models WHERE coalesce(level, 0) < 3)",
        writes={
            "sent": _SENT_DATASETS,
            "known_datasets": _KNOWN_DATASETS,
            "new_datasets": _NEW_DATASETS,
            "input_datasets": _INPUT_DATASETS,
            "new_inputs": _NEW_INPUTS,
            "new_input_tags": _INPUT_TAGS,
        },
        told={"models_level": "(SELECT coalesce(min(coalesce(level, 0)), 4) FROM models)"},
    ),
}
SEEN = ("a.token", "a.username", "a.is_superuser", "run.level", "run.lifecycle_stage")


@cache
def writing(by_token: bool, *parts: str) -> bytes:
    """The statement that writes these parts to a run. Its row: what `Seen` reads, then what `told_by` names."""
    chosen = [part for name, part in PARTS.items() if name in parts]
    bars = "".join(f" AND NOT ({part.bar})" for part in chosen if part.bar)
    steps = {"asker": asker(by_token), "run": RUN}
    for part in chosen:
        steps |= part.checks
    steps["open"] = f"SELECT * FROM run WHERE level >= 3 AND lifecycle_stage = 'active'{bars}"  # noqa: S608 - constants
    for part in chosen:
        steps |= part.writes
    told = [*SEEN, *(expression for part in chosen for expression in part.told.values())]
    return statement(steps, told, "asker a LEFT JOIN run ON true")


def told_by(*parts: str) -> list[str]:
    """What follows `Seen` in the row."""
    return [told for name, part in PARTS.items() if name in parts for told in part.told]
