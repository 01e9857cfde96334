from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from studio import find, health, home

urlpatterns = [
    path("livez", health.livez),
    path("healthz", health.healthz),
    path("", home.home, name="home"),
    path("find/", find.find, name="find"),
    path("", include("studio.accounts.urls")),
    path("", include("tracking.urls")),
    path("", include("registry.urls")),
    path("", include("endpoints.urls")),
    path("api/v1/", include("studio.api")),
    path("admin/", admin.site.urls),
    path("", include("studio.mlflow.urls")),
]
handler404 = "studio.http.not_found"
handler500 = "studio.http.server_error"
