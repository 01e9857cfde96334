from __future__ import annotations

from django.urls import path

from studio.health import checks, views

app_name = "health"
urlpatterns = [
    path("livez", checks.livez, name="livez"),
    path("healthz", checks.healthz, name="healthz"),
    path("metrics", views.exposition, name="metrics"),
    path("administration/health/", views.page, name="page"),
]
