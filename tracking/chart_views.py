"""What charts ask for."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from tracking import access
from tracking.charts import asked, series


@require_POST
def points(request: HttpRequest) -> HttpResponse:
    """The series of those runs that are asked for and may be seen, as bytes (tracking.charts.series.packed).

    A question that changes nothing: it is sent as a body because of its length.
    """
    wanted = asked.read(request.body)
    visible = access.runs_for(request.user).filter(pk__in=wanted.runs)
    began = dict(visible.values_list("pk", "start_time"))
    runs = [(run, began[run]) for run in wanted.runs if run in began]
    found = series.read(runs, wanted.keys, wanted.axis, wanted.buckets)
    return HttpResponse(series.packed(found), content_type="application/octet-stream")
