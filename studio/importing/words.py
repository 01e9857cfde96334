"""What an import says at its end."""

from __future__ import annotations

from collections.abc import Iterator

from studio.importing.report import Report
from studio.importing.units import printable

GO_ON = "What has come is whole; start the same command again to go on where it was."
_NAMES = {
    "experiments": "experiments",
    "runs": "runs",
    "params": "params",
    "metrics": "points of metrics",
    "tags": "tags of runs",
    "inputs": "inputs and outputs",
    "datasets": "datasets",
    "logged_models": "logged models",
    "trace_info": "traces",
    "registered_models": "registered models",
    "model_versions": "model versions",
    "registered_model_aliases": "aliases",
    "files": "artifact files",
    "bytes": "bytes of artifacts",
}
_MOST = 20
_LINE = 600


def summary(report: Report, seconds: float, *, dry: bool) -> Iterator[str]:
    """Line by line: what came, what was here, what came otherwise, and what could not."""
    did = "Would import" if dry else "Imported"
    came = {name: report.came[table] for table, name in _NAMES.items() if report.came[table]}
    yield f"{did}, in {seconds:.1f} s:" if came else f"{did} nothing new, in {seconds:.1f} s."
    for name, count in came.items():
        yield f"  {name:<24}{count:>14,}"
    if report.here:
        here = ", ".join(_many(count, kind) for kind, count in sorted(report.here.items()))
        yield f"Here already and left as it is: {here}."
    yield from _notes(report)
    yield from _left(report)
    yield f"The report, one line of JSON for each of them: {report.path}"
    if not dry:
        yield (
            "New experiments and models are the administrators' to see until they give grants, on the access page "
            "of each; what was merged into others is seen by whoever sees those. Users, roles and grants of the source are not imported."
        )


def _notes(report: Report) -> Iterator[str]:
    if report.notes:
        yield "Came otherwise than it was:"
    for note in report.notes[:_MOST]:
        yield f"  {printable(note, _LINE)}"
    if len(report.notes) > _MOST:
        yield f"  and {len(report.notes) - _MOST:,} more, in the report"


def _left(report: Report) -> Iterator[str]:
    if not report.left_out:
        yield "Nothing was left out."
        return
    yield "Could not come over:"
    for (kind, reason), count in report.left_out.most_common(_MOST):
        names = ", ".join(map(printable, report.examples[kind, reason]))
        more = ", …" if count > len(report.examples[kind, reason]) else ""
        yield f"  {_many(count, kind)}: {printable(reason, _LINE)} ({names}{more})"
    if len(report.left_out) > _MOST:
        yield f"  and {len(report.left_out) - _MOST:,} more reasons, in the report"


def _many(count: int, kind: str) -> str:
    return f"{count:,} × {kind}" if count > 1 else f"1 {kind}"
