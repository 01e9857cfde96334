from __future__ import annotations

from django.urls import path

from tracking import access_views, chart_views, views

app_name = "tracking"
urlpatterns = [
    path("experiments/", views.experiments, name="experiments"),
    path("experiments/<int:pk>/", views.experiment, name="experiment"),
    path("experiments/<int:pk>/access/", access_views.experiment, name="access"),
    path("series/", chart_views.points, name="points"),
    path("runs/<str:run_id>/", views.run, name="run"),
    path("runs/<str:run_id>/artifacts/", views.artifacts, name="artifacts"),
    path("runs/<str:run_id>/preview/", views.preview, name="preview"),
    path("runs/<str:run_id>/download/", views.download, name="download"),
]
