"""Pages of experiments and runs."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from studio.lib import artifacts as store
from studio.lib.errors import Invalid, NotFound, Unavailable
from tracking import access, query
from tracking.models import Run
from tracking.query import RunFilter

VIEWS = {"table": "Table", "both": "Both", "charts": "Charts"}
TABS = ("overview", "artifacts", "models", "children")
_PREVIEW = 64 * 1024  # bytes of a text file that the page shows
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}


@require_safe
def experiments(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("search", "").strip()
    found = query.experiment_list(access.experiments_for(request.user), text)
    page = Paginator(found, query.PAGE).get_page(request.GET.get("page"))
    return render(request, "tracking/experiments.html", {"page": page, "search": text})


@require_safe
def experiment(request: HttpRequest, pk: int) -> HttpResponse:
    found = access.experiment_for(request.user, pk)
    wanted = RunFilter.from_query(request.GET.dict())
    experiments = [found.pk] if access.sees_runs_of(request.user, found) else []
    context: dict[str, Any] = {
        "experiment": found,
        "tags": found.tags.exclude(key__startswith="mlflow.").order_by("key"),
        "wanted": wanted,
        "order": {
            name: query.sort_column(wanted, f"attributes.{attribute}", name)
            for name, attribute in (
                ("name", "run_name"),
                ("status", "status"),
                ("started", "start_time"),
            )
        },
    }
    try:
        context["page"] = query.run_page(experiments, wanted)
    except Invalid as refused:
        return render(request, "tracking/experiment.html", context | {"refused": refused})
    page = context["page"]
    context |= {
        "previous": wanted.link(page=page.page - 1),
        "next": wanted.link(page=page.page + 1),
        "charts": query.charts([row.run for row in page.rows], page.keys),
        "view": view if (view := request.GET.get("view")) in VIEWS else "both",
        "views": VIEWS.items(),
    }
    return render(request, "tracking/experiment.html", context)


@require_safe
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    found = access.run_for(request.user, run_id)
    tab = request.GET.get("tab", "")
    detail = query.run_detail(
        found, access.runs_for(request.user), access.logged_models_seen_by(request.user)
    )
    courses = [metric.key for metric in detail.metrics if metric.history]  # type: ignore[attr-defined]  # annotated
    context = {
        "run": found,
        "detail": detail,
        "charts": query.charts([found], courses),
        "tab": tab if tab in TABS else "overview",
    }
    if context["tab"] == "artifacts":
        context |= _listing(found.artifact_uri or "", "")
    return render(request, "tracking/run.html", context)


@require_safe
def artifacts(request: HttpRequest, run_id: str) -> HttpResponse:
    """One folder of the artifact tree, as a fragment."""
    found = access.run_for(request.user, run_id)
    listing = _listing(_address(request, found), request.GET.get("path", ""))
    context = {"run": found, "model": request.GET.get("model", "")}
    return render(request, "tracking/_artifacts.html", context | listing)


@require_safe
def preview(request: HttpRequest, run_id: str) -> HttpResponse:
    """The beginning of a text file, or an image, as a fragment."""
    found = access.run_for(request.user, run_id)
    relative = request.GET.get("path", "")
    folder = store.folder_of(_address(request, found))
    entry = folder.entry(relative)
    if entry.is_folder:
        raise NotFound(f"{relative} is a folder: open it to see its files.")
    context: dict[str, Any] = {
        "run": found,
        "model": request.GET.get("model", ""),
        "entry": entry,
        "is_image": entry.kind in _IMAGES,
    }
    if not context["is_image"]:
        head = folder.head(relative, _PREVIEW)
        context |= {
            "text": None if b"\0" in head else head.decode(errors="replace"),
            "cut": entry.size > _PREVIEW,
        }
    return render(request, "tracking/_preview.html", context)


@require_safe
def download(request: HttpRequest, run_id: str) -> StreamingHttpResponse:
    """A file, streamed. Never a document of this site: it comes sandboxed, and as a download unless an image."""
    found = access.run_for(request.user, run_id)
    path = request.GET.get("path", "")
    folder = store.folder_of(_address(request, found))
    entry = folder.entry(path)
    if entry.is_folder:
        raise NotFound(f"{entry.name} is a folder: download its files one by one.")
    inline = entry.kind in _IMAGES and "inline" in request.GET
    kind = entry.kind if inline else "application/octet-stream"
    response = StreamingHttpResponse(folder.pieces(path), content_type=kind)
    response["Content-Length"] = str(entry.size)
    response["Content-Disposition"] = content_disposition_header(not inline, entry.name) or ""
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _address(request: HttpRequest, run: Run) -> str:
    """Where the files lie that are asked for: the run's own, or those of a model that it has logged. Raises NotFound."""
    key = request.GET.get("model", "")
    if not key:
        return run.artifact_uri or ""
    logged = query.logged_here(run, access.logged_models_seen_by(request.user))
    for model in logged:
        if model.key == key:
            return model.source
    raise NotFound(f"The run {run} has logged no model {key!r}.")


def _listing(address: str, path: str) -> dict[str, object]:
    """A folder's entries, or why it cannot be shown: a run may name a store that Studio does not open."""
    try:
        folder = store.folder_of(address)
    except NotFound as outside:
        return {"entries": [], "told": outside.message}
    try:
        return {"entries": folder.entries(path)}
    except Unavailable as away:
        return {"entries": [], "told": away.message}
