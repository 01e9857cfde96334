"""For each public method of MlflowClient: what level it takes, how it is called, and what a stranger gets."""

from __future__ import annotations

import io
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.entities.mcp_server import MCPStatus

from studio.accounts.permissions import Level
from tests.walk.world import World


class Stranger(Enum):
    """What somebody without a grant gets."""

    DENIED = auto()  # PERMISSION_DENIED
    MISSING = auto()  # RESOURCE_DOES_NOT_EXIST: the client has asked a search for it
    NOTHING = auto()  # an answer in which nothing of the owner's is
    THE_SAME = auto()  # what everybody gets


class Case(NamedTuple):
    """`told`: an error that whoever has the level gets, because of what is asked and not of who asks."""

    needs: Level
    call: Callable[[MlflowClient, World], Any]
    stranger: Stranger = Stranger.DENIED
    told: str = ""


Cases = dict[str, Case]
READ, EDIT, MANAGE = Level.READ, Level.EDIT, Level.MANAGE
# Above every grant: an administrator's.
ADMINISTRATOR = Level.MANAGE + 1
_OFF = "[Ww]orkspace"


def _free(call: Callable[[MlflowClient, World], Any], told: str = "") -> Case:
    return Case(Level.NONE, call, Stranger.THE_SAME, told)


def _filtered(call: Callable[[MlflowClient, World], Any]) -> Case:
    return Case(READ, call, Stranger.NOTHING)


def _administrator(call: Callable[[MlflowClient, World], Any], told: str = "") -> Case:
    return Case(ADMINISTRATOR, call, told=told)  # type: ignore[arg-type]  # a level above the levels


EXPERIMENTS: Cases = {
    "create_experiment": _free(lambda c, w: c.create_experiment(w.free_name())),
    "get_experiment": Case(READ, lambda c, w: c.get_experiment(w.experiment)),
    "get_experiment_by_name": Case(READ, lambda c, w: c.get_experiment_by_name(w.experiment_name)),
    "search_experiments": _filtered(lambda c, w: [e.name for e in c.search_experiments()]),
    "rename_experiment": Case(EDIT, lambda c, w: c.rename_experiment(w.new_experiment(), w.name())),
    "set_experiment_tag": Case(EDIT, lambda c, w: c.set_experiment_tag(w.experiment, "t", "1")),
    "delete_experiment_tag": Case(
        EDIT, lambda c, w: c.delete_experiment_tag(w.new_experiment(), "k")
    ),
    "delete_experiment": Case(MANAGE, lambda c, w: c.delete_experiment(w.new_experiment())),
    "restore_experiment": Case(MANAGE, lambda c, w: c.restore_experiment(w.deleted_experiment())),
}
RUNS: Cases = {
    "create_run": Case(EDIT, lambda c, w: c.create_run(w.experiment)),
    "get_run": Case(READ, lambda c, w: c.get_run(w.run)),
    "get_parent_run": Case(READ, lambda c, w: c.get_parent_run(w.run)),
    "search_runs": _filtered(lambda c, w: [r.data.tags for r in c.search_runs([w.experiment])]),
    "update_run": Case(EDIT, lambda c, w: c.update_run(w.run, name=w.name())),
    "set_terminated": Case(EDIT, lambda c, w: c.set_terminated(w.new_run())),
    "delete_run": Case(MANAGE, lambda c, w: c.delete_run(w.new_run())),
    "restore_run": Case(MANAGE, lambda c, w: c.restore_run(w.deleted_run())),
    "get_metric_history": Case(READ, lambda c, w: c.get_metric_history(w.run, "loss")),
    "log_metric": Case(EDIT, lambda c, w: c.log_metric(w.run, "m", 1)),
    "log_param": Case(EDIT, lambda c, w: c.log_param(w.run, w.name(), "1")),
    "log_batch": Case(EDIT, lambda c, w: c.log_batch(w.run, w.metrics())),
    "log_inputs": Case(EDIT, lambda c, w: c.log_inputs(w.run, w.inputs())),
    "log_outputs": Case(
        EDIT, lambda c, w: c.log_outputs(w.run, [LoggedModelOutput(w.new_logged_model(), 0)])
    ),
    "set_tag": Case(EDIT, lambda c, w: c.set_tag(w.run, "t", "1")),
    "delete_tag": Case(EDIT, lambda c, w: c.delete_tag(w.new_run(), "k")),
}
ARTIFACTS: Cases = {
    "list_artifacts": Case(READ, lambda c, w: c.list_artifacts(w.run)),
    "download_artifacts": Case(
        READ, lambda c, w: c.download_artifacts(w.run, "file.txt", str(w.folder))
    ),
    "load_table": Case(
        READ, lambda c, w: c.load_table(w.experiment, "table.json", [w.run]), Stranger.MISSING
    ),
    "log_artifact": Case(EDIT, lambda c, w: c.log_artifact(w.run, str(w.folder / "file.txt"))),
    "log_artifacts": Case(EDIT, lambda c, w: c.log_artifacts(w.run, str(w.folder), "all")),
    "log_dict": Case(EDIT, lambda c, w: c.log_dict(w.run, {"a": 1}, "a.json")),
    "log_figure": Case(EDIT, lambda c, w: c.log_figure(w.run, w.figure(), "figure.html")),
    "log_image": Case(EDIT, lambda c, w: c.log_image(w.run, w.image(), "image.png")),
    "log_stream": Case(EDIT, lambda c, w: c.log_stream(w.run, io.BytesIO(b"x"), "stream.bin")),
    "log_table": Case(EDIT, lambda c, w: c.log_table(w.run, {"a": [1]}, f"{w.name()}.json")),
    "log_text": Case(EDIT, lambda c, w: c.log_text(w.run, "x", "text.txt")),
}
LOGGED_MODELS: Cases = {
    "create_logged_model": Case(EDIT, lambda c, w: c.create_logged_model(w.experiment)),
    "finalize_logged_model": Case(
        EDIT, lambda c, w: c.finalize_logged_model(w.new_logged_model(), "READY")
    ),
    "get_logged_model": Case(READ, lambda c, w: c.get_logged_model(w.logged_model)),
    "search_logged_models": _filtered(
        lambda c, w: (w.logged_model, [m.name for m in c.search_logged_models([w.experiment])])[1]
    ),
    "set_logged_model_tags": Case(
        EDIT, lambda c, w: c.set_logged_model_tags(w.logged_model, {"t": "1"})
    ),
    "delete_logged_model_tag": Case(
        MANAGE, lambda c, w: c.delete_logged_model_tag(w.new_logged_model(), "k")
    ),
    "delete_logged_model": Case(MANAGE, lambda c, w: c.delete_logged_model(w.new_logged_model())),
    "list_logged_model_artifacts": Case(
        READ, lambda c, w: c.list_logged_model_artifacts(w.logged_model)
    ),
    "log_model_artifact": Case(
        EDIT, lambda c, w: c.log_model_artifact(w.logged_model, str(w.folder / "file.txt"))
    ),
    "log_model_artifacts": Case(
        EDIT, lambda c, w: c.log_model_artifacts(w.logged_model, str(w.folder))
    ),
    "log_model_params": Case(
        EDIT, lambda c, w: c.log_model_params(w.new_logged_model(), {"p": "1"})
    ),
}
MODELS: Cases = {
    "create_registered_model": _free(lambda c, w: c.create_registered_model(w.free_name())),
    "get_registered_model": Case(READ, lambda c, w: c.get_registered_model(w.model)),
    "search_registered_models": _filtered(
        lambda c, w: [m.name for m in c.search_registered_models()]
    ),
    "update_registered_model": Case(EDIT, lambda c, w: c.update_registered_model(w.model, "x")),
    "rename_registered_model": Case(
        EDIT, lambda c, w: c.rename_registered_model(w.new_model(), w.name())
    ),
    "delete_registered_model": Case(MANAGE, lambda c, w: c.delete_registered_model(w.new_model())),
    "set_registered_model_tag": Case(
        EDIT, lambda c, w: c.set_registered_model_tag(w.model, "t", "1")
    ),
    "delete_registered_model_tag": Case(
        EDIT, lambda c, w: c.delete_registered_model_tag(w.new_model(), "k")
    ),
    "set_registered_model_alias": Case(
        EDIT, lambda c, w: c.set_registered_model_alias(w.model, "second", "1")
    ),
    "delete_registered_model_alias": Case(
        MANAGE, lambda c, w: c.delete_registered_model_alias(w.new_model(), "first")
    ),
    "get_latest_versions": Case(READ, lambda c, w: c.get_latest_versions(w.model)),
    "create_model_version": Case(
        EDIT, lambda c, w: c.create_model_version(w.model, w.source, w.run)
    ),
    "copy_model_version": Case(
        READ, lambda c, w: c.copy_model_version(f"models:/{w.model}/1", w.free_name())
    ),
    "get_model_version": Case(READ, lambda c, w: c.get_model_version(w.model, "1")),
    "get_model_version_by_alias": Case(
        READ, lambda c, w: c.get_model_version_by_alias(w.model, "first")
    ),
    "get_model_version_download_uri": Case(
        READ, lambda c, w: c.get_model_version_download_uri(w.model, "1")
    ),
    "get_model_version_stages": _free(lambda c, w: c.get_model_version_stages(w.model, "1")),
    "search_model_versions": _filtered(lambda c, w: [v.name for v in c.search_model_versions()]),
    "update_model_version": Case(EDIT, lambda c, w: c.update_model_version(w.model, "1", "x")),
    "transition_model_version_stage": Case(
        EDIT, lambda c, w: c.transition_model_version_stage(w.model, "1", "Staging")
    ),
    "set_model_version_tag": Case(
        EDIT, lambda c, w: c.set_model_version_tag(w.model, "1", "t", "1")
    ),
    "delete_model_version_tag": Case(
        MANAGE, lambda c, w: c.delete_model_version_tag(w.new_model(), "1", "k")
    ),
    "delete_model_version": Case(MANAGE, lambda c, w: c.delete_model_version(w.new_model(), "1")),
}
PROMPTS: Cases = {
    "create_prompt": _free(lambda c, w: c.create_prompt(w.free_name())),
    "register_prompt": _free(lambda c, w: c.register_prompt(w.free_name(), "Hi")),
    "create_prompt_version": Case(EDIT, lambda c, w: c.create_prompt_version(w.prompt, "Hi")),
    "get_prompt": _filtered(lambda c, w: c.get_prompt(w.prompt)),
    "get_prompt_version": Case(READ, lambda c, w: c.get_prompt_version(w.prompt, "1")),
    "get_prompt_version_by_alias": Case(
        READ, lambda c, w: c.get_prompt_version_by_alias(w.prompt, "first")
    ),
    "load_prompt": Case(READ, lambda c, w: c.load_prompt(w.prompt, 1, cache_ttl_seconds=0)),
    "parse_prompt_uri": _free(lambda c, w: c.parse_prompt_uri("prompts:/x/1")),
    "search_prompts": _filtered(lambda c, w: [p.name for p in c.search_prompts()]),
    "search_prompt_versions": Case(
        READ, lambda c, w: c.search_prompt_versions(w.prompt), told="search_prompt_versions"
    ),
    "set_prompt_tag": Case(EDIT, lambda c, w: c.set_prompt_tag(w.prompt, "t", "1")),
    "delete_prompt_tag": Case(EDIT, lambda c, w: c.delete_prompt_tag(w.new_prompt(), "k")),
    "set_prompt_version_tag": Case(
        EDIT, lambda c, w: c.set_prompt_version_tag(w.prompt, "1", "t", "1")
    ),
    "delete_prompt_version_tag": Case(
        MANAGE, lambda c, w: c.delete_prompt_version_tag(w.new_prompt(), "1", "k")
    ),
    "set_prompt_alias": Case(
        EDIT, lambda c, w: c.set_prompt_alias(w.prompt, "second", 1), Stranger.MISSING
    ),
    "delete_prompt_alias": Case(
        MANAGE, lambda c, w: c.delete_prompt_alias(w.new_prompt(), "first")
    ),
    "delete_prompt": Case(MANAGE, lambda c, w: c.delete_prompt(w.new_prompt())),
    "delete_prompt_version": Case(
        MANAGE, lambda c, w: c.delete_prompt_version(w.new_prompt(), "1")
    ),
    "link_prompt_version_to_model": Case(
        EDIT, lambda c, w: c.link_prompt_version_to_model(w.prompt, "1", w.new_logged_model())
    ),
    "link_prompt_version_to_run": Case(
        EDIT, lambda c, w: c.link_prompt_version_to_run(w.new_run(), f"prompts:/{w.prompt}/1")
    ),
    "link_prompt_versions_to_trace": Case(
        EDIT, lambda c, w: c.link_prompt_versions_to_trace([w.prompt_version()], w.new_trace())
    ),
    "detach_prompt_from_run": Case(
        READ,
        lambda c, w: c.detach_prompt_from_run(w.run, f"prompts:/{w.prompt}/1"),
        Stranger.THE_SAME,
        "not associated",
    ),
    "list_logged_prompts": Case(READ, lambda c, w: c.list_logged_prompts(w.run), Stranger.THE_SAME),
}
TRACES: Cases = {
    "get_trace": Case(READ, lambda c, w: c.get_trace(w.trace, display=False), told="."),
    "search_traces": Case(
        READ, lambda c, w: c.search_traces(locations=[w.experiment], include_spans=False)
    ),
    "set_trace_tag": Case(EDIT, lambda c, w: c.set_trace_tag(w.trace, "t", "1")),
    "delete_trace_tag": Case(EDIT, lambda c, w: c.delete_trace_tag(w.new_trace(), "k")),
    "delete_traces": Case(
        MANAGE, lambda c, w: c.delete_traces(w.experiment, trace_ids=[w.new_trace()])
    ),
    "link_traces_to_run": Case(EDIT, lambda c, w: c.link_traces_to_run([w.trace], w.run)),
    "unlink_traces_from_run": _free(
        lambda c, w: c.unlink_traces_from_run([w.trace], w.run), told="not implemented"
    ),
}
DATASETS: Cases = {
    "create_dataset": Case(EDIT, lambda c, w: c.create_dataset(w.name(), w.experiment)),
    "get_dataset": Case(READ, lambda c, w: c.get_dataset(w.dataset)),
    "search_datasets": Case(READ, lambda c, w: c.search_datasets([w.experiment])),
    "set_dataset_tags": Case(EDIT, lambda c, w: c.set_dataset_tags(w.dataset, {"t": "1"})),
    "delete_dataset_tag": Case(EDIT, lambda c, w: c.delete_dataset_tag(w.new_dataset(), "k")),
    "add_dataset_to_experiments": Case(
        EDIT,
        lambda c, w: c.add_dataset_to_experiments(w.dataset, [w.new_experiment()]),
        told="operator does not exist",
    ),
    "remove_dataset_from_experiments": Case(
        EDIT, lambda c, w: c.remove_dataset_from_experiments(w.new_dataset(), [w.experiment])
    ),
    "delete_dataset": Case(MANAGE, lambda c, w: c.delete_dataset(w.new_dataset())),
}
ADMINISTRATION: Cases = {
    "create_webhook": _administrator(
        lambda c, w: c.create_webhook(
            w.name(), "https://8.8.8.8/x", ["registered_model.created"], status="DISABLED"
        )
    ),
    "get_webhook": _administrator(lambda c, w: c.get_webhook(w.new_webhook())),
    "list_webhooks": _administrator(lambda c, w: c.list_webhooks()),
    "update_webhook": _administrator(
        lambda c, w: c.update_webhook(w.new_webhook(), description="x")
    ),
    "delete_webhook": _administrator(lambda c, w: c.delete_webhook(w.new_webhook())),
    # One that is not there: a real one would be called, at an address out in the world.
    "test_webhook": _administrator(lambda c, w: c.test_webhook("f" * 32), told="not found"),
    "create_workspace": _administrator(lambda c, w: c.create_workspace("team"), told=_OFF),
    "get_workspace": _administrator(lambda c, w: c.get_workspace("default"), told=_OFF),
    "list_workspaces": _free(lambda c, w: c.list_workspaces(), told=_OFF),
    "update_workspace": _administrator(lambda c, w: c.update_workspace("default", "x"), told=_OFF),
    "delete_workspace": _administrator(lambda c, w: c.delete_workspace("default"), told=_OFF),
    "get_workspace_store_uri": _free(lambda c, w: c.get_workspace_store_uri()),
}
MCP: Cases = {
    "create_mcp_server": _free(lambda c, w: c.create_mcp_server(f"com.example/{w.free_name()}")),
    "get_mcp_server": Case(READ, lambda c, w: c.get_mcp_server(w.server)),
    "search_mcp_servers": _filtered(lambda c, w: [s.name for s in c.search_mcp_servers()]),
    "update_mcp_server": Case(EDIT, lambda c, w: c.update_mcp_server(w.server, description="x")),
    "delete_mcp_server": Case(MANAGE, lambda c, w: c.delete_mcp_server(w.new_server())),
    "set_mcp_server_tag": Case(EDIT, lambda c, w: c.set_mcp_server_tag(w.server, "t", "1")),
    "delete_mcp_server_tag": Case(
        MANAGE, lambda c, w: c.delete_mcp_server_tag(w.new_server(), "k")
    ),
    "set_mcp_server_alias": Case(
        EDIT, lambda c, w: c.set_mcp_server_alias(w.server, "second", "1.0.0")
    ),
    "delete_mcp_server_alias": Case(
        MANAGE, lambda c, w: c.delete_mcp_server_alias(w.new_server(), "first")
    ),
    "create_mcp_server_version": Case(
        EDIT, lambda c, w: c.create_mcp_server_version(w.described(w.new_server(), "2.0.0"))
    ),
    "get_mcp_server_version": Case(READ, lambda c, w: c.get_mcp_server_version(w.server, "1.0.0")),
    "get_latest_mcp_server_version": Case(
        READ, lambda c, w: c.get_latest_mcp_server_version(w.server), told="."
    ),
    "get_mcp_server_version_by_alias": Case(
        READ, lambda c, w: c.get_mcp_server_version_by_alias(w.server, "first")
    ),
    "search_mcp_server_versions": Case(READ, lambda c, w: c.search_mcp_server_versions(w.server)),
    "update_mcp_server_version": Case(
        EDIT,
        lambda c, w: c.update_mcp_server_version(w.new_server(), "1.0.0", status=MCPStatus.ACTIVE),
    ),
    "delete_mcp_server_version": Case(
        MANAGE, lambda c, w: c.delete_mcp_server_version(w.new_server(), "1.0.0")
    ),
    "set_mcp_server_version_tag": Case(
        EDIT, lambda c, w: c.set_mcp_server_version_tag(w.server, "1.0.0", "t", "1")
    ),
    "delete_mcp_server_version_tag": Case(
        MANAGE, lambda c, w: c.delete_mcp_server_version_tag(w.new_server(), "1.0.0", "k")
    ),
    # Of a version that is not there: of a real one MLflow would ask an address out in the world.
    "refresh_mcp_server_version_tools": Case(
        READ, lambda c, w: c.refresh_mcp_server_version_tools(w.server, "9.0.0"), told="not found"
    ),
    "create_mcp_access_endpoint": Case(
        EDIT,
        lambda c, w: c.create_mcp_access_endpoint(
            w.new_server(), "https://203.0.113.1/mcp", server_version="1.0.0"
        ),
    ),
    "get_mcp_access_endpoint": Case(READ, lambda c, w: c.get_mcp_access_endpoint(*w.new_access())),
    "search_mcp_access_endpoints": _filtered(
        lambda c, w: (w.new_access(), [e.server_name for e in c.search_mcp_access_endpoints()])[1]
    ),
    "update_mcp_access_endpoint": Case(
        EDIT,
        lambda c, w: c.update_mcp_access_endpoint(*w.new_access(), url="https://203.0.113.2/mcp"),
    ),
    "delete_mcp_access_endpoint": Case(
        MANAGE, lambda c, w: c.delete_mcp_access_endpoint(*w.new_access())
    ),
}
# Spans are kept in the client's own memory and sent when their trace ends: test_tracing_as_everybody.
TRACING = {"start_trace", "end_trace", "start_span", "end_span"}
CASES: Cases = (
    EXPERIMENTS
    | RUNS
    | ARTIFACTS
    | LOGGED_MODELS
    | MODELS
    | PROMPTS
    | TRACES
    | DATASETS
    | ADMINISTRATION
    | MCP
)
