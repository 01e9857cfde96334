"""What an owner has, and what a case of the client walk may break: objects of its own, made when asked for."""

from __future__ import annotations

import itertools
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import plotly.graph_objects
from mlflow.entities import Dataset, DatasetInput, Metric
from mlflow.entities.model_registry import PromptVersion
from PIL import Image

MARK = "walked-by-a-client"
_V2, _V3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
_numbers = itertools.count(1)


class World:
    """Made through the REST API as the administrator who owns it. Every name holds MARK."""

    def __init__(self, api: httpx.Client, folder: Path) -> None:
        self._api = api
        self.folder = folder
        (folder / "file.txt").write_text(MARK)

    @staticmethod
    def name() -> str:
        return f"{MARK}-{next(_numbers)}"

    @staticmethod
    def free_name() -> str:
        """For what anybody may make: a stranger's own is not the owner's."""
        return f"free-{next(_numbers)}"

    # What is there all the time, and only read or changed.

    @cached_property
    def experiment(self) -> str:
        return self.new_experiment()

    @cached_property
    def run(self) -> str:
        run = self.new_run()
        self._post("runs/log-metric", run_id=run, key="loss", value=1, timestamp=1, step=0)
        self._post("runs/set-tag", run_id=run, key="k", value=MARK)
        place = f"/api/2.0/mlflow-artifacts/artifacts/{self.experiment}/{run}/artifacts"
        table = '{"columns": ["a"], "data": [["' + MARK + '"]]}'
        assert self._api.put(f"{place}/file.txt", content=MARK).status_code == 200
        assert self._api.put(f"{place}/table.json", content=table).status_code == 200
        self._post(
            "runs/set-tag",
            run_id=run,
            key="mlflow.loggedArtifacts",
            value='[{"path": "table.json", "type": "table"}]',
        )
        return run

    @cached_property
    def model(self) -> str:
        return self.new_model()

    @cached_property
    def logged_model(self) -> str:
        return self.new_logged_model()

    @cached_property
    def prompt(self) -> str:
        return self.new_prompt()

    @cached_property
    def trace(self) -> str:
        return self.new_trace()

    @cached_property
    def dataset(self) -> str:
        return self.new_dataset()

    @cached_property
    def server(self) -> str:
        return self.new_server()

    # What a case may end.

    def new_experiment(self) -> str:
        tags = [{"key": "k", "value": MARK}]
        return str(self._post("experiments/create", name=self.name(), tags=tags)["experiment_id"])

    def deleted_experiment(self) -> str:
        experiment = self.new_experiment()
        self._post("experiments/delete", experiment_id=experiment)
        return experiment

    def new_run(self) -> str:
        made = self._post(
            "runs/create",
            experiment_id=self.experiment,
            run_name=self.name(),
            start_time=1,
            tags=[{"key": "k", "value": MARK}],
        )
        return str(made["run"]["info"]["run_id"])

    def deleted_run(self) -> str:
        run = self.new_run()
        self._post("runs/delete", run_id=run)
        return run

    def new_model(self) -> str:
        """A registered model with one version, tags and an alias on both."""
        name = self.name()
        tags = [{"key": "k", "value": MARK}]
        self._post("registered-models/create", name=name, tags=tags)
        self._post(
            "model-versions/create", name=name, source=self.source, run_id=self.run, tags=tags
        )
        self._post("registered-models/alias", name=name, alias="first", version="1")
        return name

    @property
    def source(self) -> str:
        return f"mlflow-artifacts:/{self.experiment}/{self.run}/artifacts"

    def new_logged_model(self) -> str:
        made = self._post(
            "logged-models",
            experiment_id=self.experiment,
            name=self.name(),
            tags=[{"key": "k", "value": MARK}],
        )
        return str(made["model"]["info"]["model_id"])

    def new_prompt(self) -> str:
        name = self.name()
        mark = {"key": "mlflow.prompt.is_prompt", "value": "true"}
        self._post("registered-models/create", name=name, tags=[mark, {"key": "k", "value": MARK}])
        text = {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}
        self._post(
            "model-versions/create",
            name=name,
            source="prompt-template",
            tags=[mark, text, {"key": "k", "value": MARK}],
        )
        self._post("registered-models/alias", name=name, alias="first", version="1")
        return name

    def prompt_version(self) -> PromptVersion:
        return PromptVersion(self.prompt, 1, "Hello {{name}}")

    def new_trace(self) -> str:
        trace = f"tr-{self.name()}"
        location = {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": self.experiment},
        }
        info = {
            "trace_id": trace, "trace_location": location, "request_time": "2026-01-01T00:00:00Z",
            "state": "OK", "request_preview": MARK, "tags": {"k": MARK},
        }  # fmt: skip
        self._post3("traces", trace={"trace_info": info})
        return trace

    def new_dataset(self) -> str:
        made = self._post3(
            "datasets/create", name=self.name(), experiment_ids=[self.experiment], tags='{"k": "v"}'
        )
        return str(made["dataset"]["dataset_id"])

    def new_server(self) -> str:
        """Of MLflow's registry of MCP servers: with a version, an alias and tags."""
        name = f"com.example/{self.name()}"
        self._post3(f"mcp-servers/{name}/versions", server_json=self.described(name, "1.0.0"))
        self._post3(f"mcp-servers/{name}/aliases", alias="first", version="1.0.0")
        self._post3(f"mcp-servers/{name}/tags", key="k", value=MARK)
        self._post3(f"mcp-servers/{name}/versions/1.0.0/tags", key="k", value=MARK)
        return name

    def new_access(self) -> tuple[str, str]:
        """A server, and where it can be reached."""
        server = self.new_server()
        made = self._post3(
            f"mcp-servers/{server}/endpoints",
            url="https://203.0.113.1/mcp",
            transport_type="streamable-http",
            server_version="1.0.0",
        )
        return server, str(made["id"])

    def new_webhook(self) -> str:
        made = self._post(
            "webhooks",
            name=self.name(),
            url="https://8.8.8.8/x",
            status="DISABLED",
            events=[{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
        )
        return str(made["webhook"]["webhook_id"])

    def new_user(self, password: str) -> str:
        name = self.free_name()
        self._post("users/create", username=name, password=password)
        return name

    def new_grantee(self, password: str) -> str:
        """A user who may read the experiment."""
        name = self.new_user(password)
        on = {"resource_type": "experiment", "resource_id": self.experiment}
        self._post3("users/permissions/grant", username=name, permission="READ", **on)
        return name

    def new_role(self) -> int:
        return int(
            self._post3("roles/create", workspace="default", name=self.free_name())["role"]["id"]
        )

    def new_role_permission(self) -> int:
        on = {"resource_type": "experiment", "resource_pattern": self.experiment}
        made = self._post3(
            "roles/permissions/add", role_id=self.new_role(), permission="READ", **on
        )
        return int(made["role_permission"]["id"])

    def new_assignment(self, password: str) -> tuple[str, int]:
        user, role = self.new_user(password), self.new_role()
        self._post3("roles/assign", username=user, role_id=role)
        return user, role

    @property
    def experiment_name(self) -> str:
        got = self._api.get(f"{_V2}/experiments/get", params={"experiment_id": self.experiment})
        return str(got.json()["experiment"]["name"])

    @staticmethod
    def described(server: str, version: str) -> dict[str, Any]:
        return {"name": server, "version": version, "description": MARK}

    @staticmethod
    def figure() -> plotly.graph_objects.Figure:
        return plotly.graph_objects.Figure()

    @staticmethod
    def image() -> Image.Image:
        return Image.new("RGB", (2, 2))

    @staticmethod
    def metrics() -> list[Metric]:
        return [Metric("loss", 0.5, 1, 1)]

    @staticmethod
    def inputs() -> list[DatasetInput]:
        return [DatasetInput(Dataset(name="d", digest="1", source_type="local", source="x"))]

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._send(f"{_V2}/{path}", body)

    def _post3(self, path: str, **body: Any) -> dict[str, Any]:
        return self._send(f"{_V3}/{path}", body)

    def _send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._api.post(path, json=body)
        assert answer.status_code in (200, 201), f"{path}: {answer.text}"
        return dict(answer.json())
