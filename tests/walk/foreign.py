"""One object of somebody else of every kind that MLflow has, made through its API, and the same names for none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

SECRET = "walkers-secret"
_V2, _V3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
_NONE = "f" * 32
_QUERY = """query {
  mlflowGetExperiment(input: {experimentId: "EXPERIMENT"}) { experiment { name } }
  mlflowGetRun(input: {runId: "RUN"}) { run { info { runName } } }
}"""


@dataclass(frozen=True)
class Named:
    """What a request may name, by the name of the argument."""

    arguments: dict[str, str]

    def body(self) -> dict[str, Any]:
        """All of it at once, by every name that a route of MLflow's may use: each picks what it knows."""
        known = self.arguments
        return known | {
            "run_uuid": known["run_id"],
            "request_id": known["trace_id"],
            "scorer_ids": [known["scorer_id"]],
            "model": known["name"],
            "job_name": "invoke_scorer",
            "params": {},
            "query": _QUERY.replace("EXPERIMENT", known["experiment_id"]).replace("RUN", known["run_id"]),
            "experiment_ids": [known["experiment_id"]],
            "run_ids": [known["run_id"]],
            "trace_ids": [known["trace_id"]],
            "request_ids": [known["trace_id"]],
            "locations": [_experiment(known["experiment_id"])],
            "trace": {"trace_info": {"trace_id": known["trace_id"], "trace_location": _experiment(known["experiment_id"])}},
            "assessment": {"assessment_id": known["assessment_id"], "trace_id": known["trace_id"]},
            "source": f"runs:/{known['run_id']}/model",
            "path": "walked.txt",
            "value": "1",
            "stage": "None",
            "username": "admin",
            "password": "a password of the walker",
            "is_admin": True,
            "resource_type": "experiment",
            "resource_id": known["experiment_id"],
            "permission": "MANAGE",
            "model_configs": [{"model_definition_id": known["model_definition_id"], "linkage_type": "PRIMARY", "weight": 1}],
            "provider": "openai",
            "secret_value": {"api_key": "x"},
            "max_results": 10,
            "timestamp": 1,
            "step": 0,
            "role_id": 1,
            "role_permission_id": 1,
            "workspace": "default",
        }  # fmt: skip

    def path(self, argument: str, route: str) -> str:
        """The value of a path argument, whose meaning depends on the route it stands in."""
        if argument == "name":
            return "com.example/" + self.arguments["name"]
        if argument in ("alias", "version", "key", "tag_key"):
            return {"version": "1", "alias": "walkers-alias"}.get(argument, "k")
        if argument == "artifact_path":
            known = self.arguments
            return f"{known['experiment_id']}/{known['run_id']}/artifacts/{SECRET}.txt"
        others = {"workspace_name": "default", "provider": "openai", "path": "x", "filename": "x"}
        if argument in others:
            return others[argument]
        if argument == "endpoint_name":
            return self.arguments["name"]
        return self.arguments[{"request_id": "trace_id"}.get(argument, argument)]


NOBODYS = Named(
    {
        "experiment_id": "987654",
        "experiment_name": "no-such-experiment",
        "run_id": _NONE,
        "name": "no-such-name",
        "new_name": "no-such-name-either",
        "model_id": f"m-{_NONE}",
        "trace_id": f"tr-{_NONE}",
        "assessment_id": f"a-{_NONE}",
        "dataset_id": f"d-{_NONE}",
        "issue_id": f"iss-{_NONE}",
        "schema_id": f"ls-{_NONE}",
        "queue_id": f"rq-{_NONE}",
        "secret_id": f"s-{_NONE}",
        "model_definition_id": f"d-{_NONE}",
        "endpoint_id": f"e-{_NONE}",
        "mapping_id": f"m-{_NONE}",
        "budget_policy_id": f"bp-{_NONE}",
        "webhook_id": _NONE,
        "job_id": _NONE,
        "session_id": _NONE,
        "guardrail_id": _NONE,
        "scorer_name": "no-such-name",
        "scorer_id": _NONE,
        "version": "1",
        "alias": "walkers-alias",
        "key": "k",
        "metric_key": "loss",
    }
)

# For what any user may make: names that nobody has asked for otherwise.
FREE = Named(NOBODYS.arguments | {"name": "a-free-name", "experiment_name": "a-free-name"})


def make(api: httpx.Client) -> Named:
    """Make them as who this client is signed in as. Every text that should stay secret holds SECRET."""
    made = dict(NOBODYS.arguments)
    made |= _tracking(api) | {
        "name": SECRET,
        "new_name": f"{SECRET}-2",
        "experiment_name": SECRET,
        "scorer_name": SECRET,
    }
    experiment = made["experiment_id"]
    _registered(api, made["run_id"])
    made |= _reviews(api, experiment) | _gateway(api, experiment)
    scorer = _post(
        api,
        f"{_V3}/scorers/register",
        experiment_id=experiment,
        name=SECRET,
        serialized_scorer="{}",
    )
    made["scorer_id"] = scorer["scorer_id"]
    _post(api, f"{_V3}/mcp-servers", name=f"com.example/{SECRET}", description=SECRET)
    return Named(made)


def _tracking(api: httpx.Client) -> dict[str, str]:
    experiment = _post(api, f"{_V2}/experiments/create", name=SECRET)["experiment_id"]
    run = _post(api, f"{_V2}/runs/create", experiment_id=experiment, run_name=SECRET, start_time=1)[
        "run"
    ]["info"]["run_id"]
    _post(api, f"{_V2}/runs/log-metric", run_id=run, key="loss", value=1, timestamp=1, step=0)
    _post(api, f"{_V2}/runs/set-tag", run_id=run, key="k", value=SECRET)
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{SECRET}.txt"
    assert api.put(path, content=SECRET).status_code == 200
    model = _post(
        api, f"{_V2}/logged-models", experiment_id=experiment, name=SECRET, source_run_id=run
    )
    trace = f"tr-{SECRET}"
    info = {
        "trace_id": trace,
        "trace_location": _experiment(experiment),
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
        "request_preview": SECRET,
    }
    _post(api, f"{_V3}/traces", trace={"trace_info": info})
    human = {"source_type": "HUMAN", "source_id": "admin"}
    told = _post(
        api, f"{_V3}/traces/{trace}/assessments",
        assessment={"assessment_name": SECRET, "source": human, "feedback": {"value": True}, "trace_id": trace},
    )  # fmt: skip
    dataset = _post(api, f"{_V3}/datasets/create", name=SECRET, experiment_ids=[experiment])
    issue = _post(
        api,
        f"{_V3}/issues",
        experiment_id=experiment,
        name=SECRET,
        description=SECRET,
        severity="high",
    )
    return {
        "experiment_id": experiment,
        "run_id": run,
        "model_id": model["model"]["info"]["model_id"],
        "trace_id": trace,
        "assessment_id": told["assessment"]["assessment_id"],
        "dataset_id": dataset["dataset"]["dataset_id"],
        "issue_id": issue["issue"]["issue_id"],
    }  # fmt: skip


def _registered(api: httpx.Client, run: str) -> None:
    _post(api, f"{_V2}/registered-models/create", name=SECRET)
    source = _get(api, f"{_V2}/runs/get", run_id=run)["run"]["info"]["artifact_uri"]
    _post(api, f"{_V2}/model-versions/create", name=SECRET, source=source, run_id=run)
    _post(api, f"{_V2}/registered-models/alias", name=SECRET, alias="walkers-alias", version="1")


def _reviews(api: httpx.Client, experiment: str) -> dict[str, str]:
    schema = _post(
        api,
        f"{_V3}/label-schemas/create",
        experiment_id=experiment,
        name=SECRET,
        type="FEEDBACK",
        input={"text": {}},
    )
    schema_id = schema["label_schema"]["schema_id"]
    queue = _post(
        api,
        f"{_V3}/review-queues/create",
        experiment_id=experiment,
        name=SECRET,
        queue_type="CUSTOM",
        schema_ids=[schema_id],
    )
    return {"schema_id": schema_id, "queue_id": queue["review_queue"]["queue_id"]}


def _gateway(api: httpx.Client, experiment: str) -> dict[str, str]:
    """Of MLflow's gateway to language models."""
    secret = _post(
        api,
        f"{_V3}/gateway/secrets/create",
        secret_name=SECRET,
        secret_value={"api_key": SECRET},
        provider="openai",
    )
    secret_id = secret["secret"]["secret_id"]
    definition = _post(
        api,
        f"{_V3}/gateway/model-definitions/create",
        name=SECRET,
        secret_id=secret_id,
        provider="openai",
        model_name="m",
    )
    definition_id = definition["model_definition"]["model_definition_id"]
    config = {"model_definition_id": definition_id, "linkage_type": "PRIMARY", "weight": 1}
    endpoint = _post(api, f"{_V3}/gateway/endpoints/create", name=SECRET, model_configs=[config])[
        "endpoint"
    ]
    budget = _post(
        api, f"{_V3}/gateway/budgets/create", budget_unit="USD", budget_amount=1,
        duration={"unit": "DAYS", "value": 1}, target_scope="GLOBAL", budget_action="ALERT",
    )  # fmt: skip
    return {
        "secret_id": secret_id,
        "model_definition_id": definition_id,
        "endpoint_id": endpoint["endpoint_id"],
        "mapping_id": endpoint["model_mappings"][0]["mapping_id"],
        "budget_policy_id": budget["budget_policy"]["budget_policy_id"],
    }


def _experiment(identifier: str) -> dict[str, Any]:
    return {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": identifier}}


def _post(api: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return dict(answer.json())


def _get(api: httpx.Client, path: str, **query: str) -> dict[str, Any]:
    answer = api.get(path, params=query)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return dict(answer.json())
