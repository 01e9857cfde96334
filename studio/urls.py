from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView

from studio import find, home

urlpatterns = [
    path("favicon.ico", login_not_required(RedirectView.as_view(url="/static/icon.svg"))),
    path("", include("studio.health.urls")),
    path("", home.home, name="home"),
    path("find/", find.find, name="find"),
    path("", include("studio.accounts.urls")),
    path("", include("tracking.urls")),
    path("", include("registry.urls")),
    path("", include("endpoints.urls")),
    path("api/v1/", include("studio.api")),
    path("admin/password_change/", RedirectView.as_view(pattern_name="accounts:password")),
    path("admin/", admin.site.urls),
    path("", include("studio.mlflow.urls")),
]
handler400 = "studio.http.bad_request"
handler404 = "studio.http.not_found"
handler500 = "studio.http.server_error"
