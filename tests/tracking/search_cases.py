"""Runs to search, and what is asked of them: equal answers of Studio and MLflow are wanted for each."""

from __future__ import annotations

from typing import Any

_START = 1_700_000_000_000
_INF = 1.7976931348623157e308  # MLflow's infinity
_NAN = float("nan")
_ID = "0123456789abcdef0123456789abcdef"

# name, metrics, params, tags, other columns
RUNS: list[tuple[str, dict[str, float], dict[str, str], dict[str, str], dict[str, Any]]] = [
    ("plain", {"loss": 0.5, "acc": 0.9}, {"depth": "8", "note": "50%"}, {"team": "red"}, {"run_uuid": _ID}),
    ("Plain", {"loss": 0.5}, {"depth": "10", "note": "50_"}, {"team": "Red"}, {}),
    ("zero", {"loss": 0.0}, {"depth": "08", "note": "500"}, {"team": ""}, {}),
    ("negative", {"loss": -1.5}, {"depth": ""}, {"team": "blue"}, {"status": "FAILED"}),
    ("nan", {"loss": _NAN}, {"depth": "NaN"}, {}, {"status": "RUNNING", "end_time": None}),
    ("inf", {"loss": _INF}, {}, {"team": "blue"}, {"start_time": _START, "status": "SCHEDULED"}),
    ("minus inf", {"loss": -_INF}, {"note": "a'b"}, {"team": "rot\\blau"}, {"start_time": _START + 1}),
    ("ünïcode ✓", {"acc": 0.1}, {"note": 'a"b'}, {"größe": "groß", "team": "РЕД"}, {"user_id": "bob"}),
    ("tie one", {"loss": 2.0, "a/b c": 1.0}, {"depth": "8"}, {"a.b": "dotted"}, {"start_time": _START}),
    ("tie two", {"loss": 2.0, "a/b c": 3.0}, {"depth": "8"}, {"a.b": "other"}, {"start_time": _START}),
    ("tie three", {"loss": 2.0}, {"depth": "8"}, {"a b": "spaced"}, {"start_time": _START}),
    ("bare", {}, {}, {}, {"user_id": "", "artifact_uri": None}),
    ("gone", {"loss": 0.5}, {"depth": "8"}, {"team": "red"}, {"lifecycle_stage": "deleted"}),
]  # fmt: skip

FILTERS = r"""
metrics.loss < 1
metrics.loss <= 0.5
metrics.loss > 0
metrics.loss >= 2
metrics.loss = 0.5
metrics.loss = 0
metrics.loss != 0.5
metrics.loss != 0
metrics.loss > -2
metrics.loss > 1e308
metrics.loss < -1e308
metrics.loss = 1e400
metrics.loss < 1e400
metrics.loss > -1e400
metric.acc < 0.5
metrics.nope = 1
metrics.nope != 1
metrics.`a/b c` > 2
metrics."a/b c" = 1
metrics.loss > 0 AND metrics.acc > 0.5
metrics.loss < 1 AND
metrics.loss > 0 and metrics.loss < 1 and params.depth = '8'
params.depth = '8'
params.depth = ''
params.depth != '8'
params.depth != 'nothing'
params.nope != 'x'
param.depth LIKE '%8%'
parameters.depth LIKE '_8'
params.depth like '8'
params.note LIKE '50%'
params.note LIKE '50_'
params.note LIKE '50\%'
params.note LIKE '%\\'
params.note ILIKE 'A_B'
params.note = "a'b"
params.note = 'a"b'
params.depth IS NULL
params.depth IS NOT NULL
params.depth is null
params.nope IS NULL
params.note IS NOT NULL AND params.depth IS NULL
tags.team = 'red'
tags.team = 'Red'
tags.team != 'red'
tags.team = ''
tag.team LIKE 'r%'
tags.team ILIKE 'R%'
tags.team ILIKE 'ред'
tags.team LIKE 'rot\\blau'
tags.team = 'rot\blau'
tags.team IS NULL
tags.team IS NOT NULL
tags.`größe` = 'groß'
tags."größe" LIKE 'gro_'
tags.a.b = 'dotted'
tags.`a.b` != 'dotted'
tags.`a b` = 'spaced'
tags.mlflow.runName = 'plain'
tags.`mlflow.runName` ILIKE 'plain'
attributes.status = 'FINISHED'
attributes.status != 'FINISHED'
attribute.status LIKE 'F%'
status ILIKE 'f%'
attributes.run_name = 'plain'
run_name ILIKE 'plain'
attributes.run_name != 'plain'
attributes.run_name LIKE 'tie%'
run.`Run name` = 'plain'
attributes."run name" = 'plain'
attributes.run_name = 'renamed'
attributes.run_id = '0123456789abcdef0123456789abcdef'
attributes.run_id != '0123456789abcdef0123456789abcdef'
run_id IN ('0123456789abcdef0123456789abcdef', 'x')
attributes.run_id NOT IN ('0123456789abcdef0123456789abcdef')
attributes.run_id LIKE '0123%'
attributes.user_id = 'alice'
attributes.user_id != 'alice'
attributes.user_id LIKE 'b%'
attributes.artifact_uri LIKE 'mlflow-artifacts:%'
attributes.artifact_uri != 'x'
attributes.start_time = 1700000000000
attributes.start_time != 1700000000000
attributes.start_time > 1700000000000
attributes.start_time >= 1700000000000
attributes.start_time < 1700000000001
attr.start_time <= 1700000000000
created > 0
attributes.Created < 1700000000001
attributes.end_time > 0
attributes.start_time > -1
attributes.start_time < 99999999999999999
attributes.start_time > 1700000000000.5
attributes.start_time >= 1700000000000.5
attributes.start_time < 1700000000000.5
attributes.start_time <= 1700000000000.5
attributes.start_time = 1700000000000.0
attributes.start_time = 1700000000000.4
attributes.start_time != 1700000000000.4
dataset.name = 'wine'
dataset.name != 'wine'
datasets.name LIKE 'w%'
dataset.name ILIKE 'WI_E'
dataset.name IN ('wine', 'iris')
dataset.name NOT IN ('wine')
dataset.digest = 'd1'
dataset.digest != 'd1'
dataset.context = 'train'
dataset.context != 'train'
dataset.context LIKE 't%'
dataset.context IN ('train', 'eval')
dataset.context NOT IN ('train')
dataset.name = 'wine' AND dataset.context = 'eval'
dataset.name = 'wine' AND metrics.loss < 1
""".strip().splitlines()

# What MLflow refuses, and the larger language has a meaning for.
ADMITTED = {
    "metrics.loss < 1 OR metrics.loss > 2",
    "NOT metrics.loss < 1",
    "(metrics.loss < 1)",
    "params.depth IN ('8')",
    "params.depth NOT IN ('8')",
    "tags.team IN ('red')",
    "attributes.status IN ('FINISHED')",
    "attributes.run_name IN ('plain')",
}
REFUSED = r"""
metrics.loss
metrics.loss <
metrics.loss < 'x'
metrics.loss < nan
metrics.loss < inf
metrics.loss LIKE 1
metrics.loss IS NULL
metrics.loss IN (1, 2)
metrics.loss < 1 OR metrics.loss > 2
metrics.loss < 1; metrics.loss > 2
metrics.loss BETWEEN 1 AND 2
NOT metrics.loss < 1
(metrics.loss < 1)
params.depth = 8
params.depth > '8'
params.depth <= '8'
params.depth IN ('8')
params.depth NOT IN ('8')
params.depth RLIKE '8'
params.depth = depth
tags.team < 'red'
tags.team IN ('red')
tags.team NOT LIKE 'red'
attributes.status > 'FINISHED'
attributes.status < 'FINISHED'
attributes.status IS NULL
attributes.status IN ('FINISHED')
attributes.run_name IN ('plain')
attributes.run_name > 'plain'
attributes.run_name IS NOT NULL
attributes.run_id > 'x'
attributes.run_id IN ()
attributes.run_id IN (1)
attributes.user_id <= 'x'
attributes.artifact_uri >= 'x'
attributes.start_time LIKE 1
attributes.start_time = 'x'
attributes.start_time IN (1)
attributes.end_time ILIKE 1
attributes.nope = 'x'
attributes.lifecycle_stage = 'active'
attributes.experiment_id = '1'
dataset.name > 'wine'
dataset.name IS NULL
dataset.context >= 'train'
dataset.nope = 'x'
dataset.name = 1
nope.loss = 1
nope = 'x'
= 1
hello
'
"
`
%
""".strip().splitlines()

ORDERS = """
metrics.loss
metrics.loss ASC
metrics.loss DESC
metrics.loss desc
metric.acc ASC
metric.acc DESC
metrics.`a/b c` ASC
metrics.`a/b c` DESC
metrics.nope ASC
metrics.nope DESC
params.depth ASC
params.depth DESC
param.note ASC
param.note DESC
params.nope ASC
tags.team ASC
tags.team DESC
tags.`a b` DESC
tags.`größe` ASC
tags.`mlflow.runName` ASC
attributes.start_time ASC
attributes.start_time DESC
attribute.start_time
start_time DESC
created ASC
Created DESC
attributes.end_time ASC
attributes.end_time DESC
attributes.status ASC
attributes.status DESC
attributes.run_name ASC
attributes.run_name DESC
attributes.run_id ASC
attributes.run_id DESC
attributes.user_id ASC
attributes.user_id DESC
attributes.artifact_uri ASC
attributes.artifact_uri DESC
""".strip().splitlines()

REFUSED_ORDERS = """
metrics.loss UP
metrics.loss ASC DESC
metrics.loss, metrics.acc
metrics.loss ASC, metrics.acc DESC
1
attributes.nope
nope.loss
attributes.lifecycle_stage
dataset.name
dataset.nope ASC
dataset.name DESC
attributes.`run name` ASC
metrics.loss; metrics.acc
""".strip().splitlines()

# MLflow itself breaks on these, or answers with the text of its SQL: Studio tells what is wrong instead.
UNREADABLE = [
    ("", 'metrics.`we"ird`', "No closing quotation"),
    ("params.note LIKE '%\\'", "", "must not end with a single \\"),
    (f"attributes.start_time > {'9' * 5000}", "", "Invalid filter"),
    ("dataset.name ILIKE '\\'", "", "must not end with a single \\"),
]

# PostgreSQL looks for minutes, and finds that the text does not match.
SLOW = r"^(a+)(a+)(a+)(a+)x\1\1\2\2\3\3\4\4$"
SLOW_TEXT = f"{'a' * 300}x{'a' * 601}"
