"""MLflow's own routes, and its web UI below a prefix. Studio's /api/v1 lies beside them and is matched first."""

from __future__ import annotations

from django.urls import path, re_path
from django.views.generic import RedirectView

from studio.mlflow import ui
from studio.mlflow.forward import forward

urlpatterns = [
    re_path(
        r"^(?:api/\d+\.\d+/|ajax-api/|graphql$|v1/|gateway/|get-artifact$|model-versions/get-artifact$|version$|signup$)",
        forward,
    ),
    # Its addresses are relative to the slash.
    path("mlflow", RedirectView.as_view(pattern_name="mlflow-ui")),
    path("mlflow/", ui.page, name="mlflow-ui"),
    re_path(r"^mlflow/static-files/.", ui.page),
    re_path(
        r"^mlflow/(?:ajax-api/|graphql$|get-artifact$|model-versions/get-artifact$|version$)",
        ui.program,
    ),
]
