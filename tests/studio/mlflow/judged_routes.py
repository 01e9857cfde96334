"""What is known of MLflow's routes that have no guard: those that write and why they may, and those that read.

A line is a method and a route without `/api/2.0/` or its like; `*` is an argument, `{a,b}` stands for two lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# They write, and nothing of Studio's stands before them.
FREE = {
    "MLflow asks for EDIT or MANAGE on the experiment; who creates one gets MANAGE": """
        POST mlflow/experiments/{update,delete,restore,set-experiment-tag,delete-experiment-tag}
        POST mlflow/runs/{delete,restore,outputs,create-promptlab-run}
        POST mlflow/runs/log-model
        POST mlflow/logged-models
        PATCH mlflow/logged-models/*
        DELETE mlflow/logged-models/*
        POST mlflow/logged-models/*/params
        PATCH mlflow/logged-models/*/tags
        DELETE mlflow/logged-models/*/tags/*
        POST mlflow/traces
        POST mlflow/traces/{delete-traces,link-prompts,link-to-run}
        PATCH mlflow/traces/*
        PATCH mlflow/traces/*/tags
        DELETE mlflow/traces/*/tags
        POST mlflow/traces/*/assessments
        PATCH mlflow/traces/*/assessments/*
        DELETE mlflow/traces/*/assessments/*
        POST /v1/traces
        POST mlflow/datasets/{create,*/records,*/add-experiments,*/remove-experiments}
        DELETE mlflow/datasets/{*,*/records,*/tags/*}
        PATCH mlflow/datasets/*/tags
        POST mlflow/issues
        PATCH mlflow/issues/*
        POST mlflow/label-schemas/create
        POST mlflow/review-queues/{create,get-or-create-user}
        POST mlflow/scorers/register
        DELETE mlflow/scorers/delete
        PUT mlflow/scorers/online-config
        """,
    "artifacts: MLflow asks for EDIT on the experiment; the body is passed on as it comes, never held": """
        DELETE mlflow-artifacts/artifacts/*
        POST mlflow-artifacts/mpu/{create,complete,abort}/*
        POST mlflow/upload-artifact
        POST mlflow/artifacts/presigned-upload-url
        """,
    "MLflow asks for EDIT or MANAGE on the registered model; who creates one gets MANAGE": """
        POST mlflow/registered-models/{create,rename,set-tag,alias}
        PATCH mlflow/registered-models/update
        DELETE mlflow/registered-models/{delete,delete-tag,alias}
        POST mlflow/model-versions/{create,set-tag,transition-stage}
        PATCH mlflow/model-versions/update
        DELETE mlflow/model-versions/{delete,delete-tag}
        """,
    "MLflow asks for a grant on the resource of its gateway of language models, and an administrator for budgets": """
        POST mlflow/gateway/{secrets,endpoints,model-definitions,budgets}/{create,update}
        DELETE mlflow/gateway/{secrets,endpoints,model-definitions,budgets}/delete
        POST mlflow/gateway/endpoints/{bindings/create,models/attach,models/detach,set-tag}
        DELETE mlflow/gateway/endpoints/{bindings/delete,delete-tag}
        POST mlflow/gateway/guardrails/{create,add-to-endpoint}
        PATCH mlflow/gateway/guardrails/update-config
        DELETE mlflow/gateway/guardrails/{delete,remove-from-endpoint}
        """,
    "MLflow asks for a grant on its MCP server; who creates one gets MANAGE": """
        POST mlflow/mcp-servers
        PATCH mlflow/mcp-servers/*
        DELETE mlflow/mcp-servers/*
        POST mlflow/mcp-servers/*/{aliases,endpoints,tags,versions,versions/*/tags}
        PATCH mlflow/mcp-servers/*/{endpoints/*,versions/*}
        DELETE mlflow/mcp-servers/*/{aliases/*,endpoints/*,tags/*,versions/*,versions/*/tags/*}
        """,
    "calls a language model; MLflow asks for USE on the endpoint of its gateway": """
        POST /gateway/mlflow/v1/chat/completions
        POST /gateway/openai/v1/{chat/completions,embeddings,responses,responses/compact}
        POST /gateway/anthropic/v1/messages
        POST /gateway/gemini/v1beta/models/*:{generateContent,streamGenerateContent}
        POST /gateway/typesafe/v1/systemone
        POST /gateway/proxy/*/*
        POST /gateway/*/mlflow/invocations
        """,
    "administrators only, by MLflow's own check": """
        POST mlflow/webhooks
        PATCH mlflow/webhooks/*
        DELETE mlflow/webhooks/*
        POST mlflow/webhooks/*/test
        POST mlflow/demo/delete
        POST mlflow/workspaces
        PATCH mlflow/workspaces/*
        DELETE mlflow/workspaces/*
        """,
    "jobs in MLflow's server: MLFLOW_SERVER_ENABLE_JOB_EXECUTION is off": """
        PATCH jobs/cancel/*
        PATCH mlflow/jobs/cancel/*
        POST mlflow/prompt-optimization/jobs
        POST mlflow/prompt-optimization/jobs/*/cancel
        DELETE mlflow/prompt-optimization/jobs/*
        POST mlflow/scorer/invoke
        POST mlflow/issues/invoke
        POST mlflow/genai/evaluate/invoke
        """,
    "a demonstration experiment, which belongs to who makes it": """
        POST mlflow/demo/generate
        """,
    "telemetry is off: says so, and sends nothing": """
        POST mlflow/ui-telemetry
        """,
    "a proxy to a gateway that MLflow is not told of: answers with an empty list": """
        POST mlflow/gateway-proxy
        """,
}
# They write nothing. POST, where a search is too long for an address.
READS = """
    POST mlflow/{logged-models,datasets,traces,issues}/search
    POST mlflow/experiments/search-datasets
    POST /{api,ajax-api}/2.0mlflow/experiments/search-datasets
    POST mlflow/registered-models/get-latest-versions
    POST mlflow/artifacts/presigned-download-url
    POST mlflow/traces/{batchGetInfos,calculate-filter-correlation,metrics}
    POST mlflow/prompt-optimization/jobs/search
    POST jobs/search
    POST /graphql
    GET /
    GET /{build,static-files}/*
    GET /{graphql,health,version,get-artifact,model-versions/get-artifact}
    GET /gateway/mlflow/v1/models
    GET jobs/*
    GET mlflow/server-info
    GET mlflow/ui-telemetry
    GET mlflow-artifacts/presigned/*
    GET mlflow/logged-models/{*,*/artifacts/directories,*/artifacts/files}
    GET mlflow/registered-models/get-latest-versions
    GET mlflow/model-versions/get-download-uri
    GET mlflow/{traces,traces/*,traces/*/info,traces/*/assessments/*,traces/get,traces/batchGet,unified-traces}
    GET mlflow/{get-trace-artifact,get-online-trace-details}
    GET mlflow/datasets/{search,*,*/experiment-ids,*/records}
    GET mlflow/issues/*
    GET mlflow/label-schemas/{get-by-name,list}
    GET mlflow/review-queues/{get-by-name,list}
    GET mlflow/scorers/{get,list,versions,online-configs}
    GET mlflow/prompt-optimization/jobs/{*,search}
    GET mlflow/jobs/*
    GET mlflow/users/{get,list,current,current/permissions,permissions/get,permissions/list,roles/list}
    GET mlflow/webhooks
    GET mlflow/webhooks/*
    GET mlflow/workspaces
    GET mlflow/workspaces/*
    GET mlflow/gateway-proxy
    GET mlflow/gateway/{secrets,endpoints,model-definitions,budgets,guardrails}/{get,list}
    GET mlflow/gateway/{budgets/windows,endpoints/bindings/list,guardrails/list-for-endpoint}
    GET mlflow/gateway/{supported-providers,supported-models,provider-config,secrets/config}
    GET mlflow/mcp-servers
    GET mlflow/mcp-servers/{endpoints,*,*/aliases/*,*/endpoints,*/endpoints/*,*/versions,*/versions/*}
    """
_API = re.compile(r"/(?:ajax-)?api/\d+\.\d+/")


def judged() -> list[str]:
    """Every line, written out: `POST mlflow/runs/create`."""
    texts = [*FREE.values(), READS]
    return [line for text in texts for short in text.split("\n") for line in _lines(short.strip())]


def line_for(method: str, path: str) -> str:
    """The line that must name this route of MLflow's."""
    return f"{method} {re.sub(r'<[^>]+>|{[^}]+}', '*', _API.sub('', path))}"


def _lines(short: str) -> Iterator[str]:
    found = re.search(r"\{([^}]+)\}", short)
    if found is None:
        yield from filter(None, [short])
        return
    for choice in found[1].split(","):
        yield from _lines(short[: found.start()] + choice + short[found.end() :])
