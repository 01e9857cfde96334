"""MLflow's own routes. Studio's /api/v1 lies beside them and is matched first."""

from __future__ import annotations

from django.urls import re_path

from studio.mlflow.forward import forward

urlpatterns = [
    re_path(
        r"^(?:api/\d+\.\d+/|ajax-api/|graphql$|v1/|gateway/|get-artifact$|model-versions/get-artifact$|version$)",
        forward,
    ),
]
