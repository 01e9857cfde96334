from __future__ import annotations

from django.urls import path

from registry import access_views, views

app_name = "registry"
urlpatterns = [
    path("models/", views.models, name="models"),
    path("runs/<str:run_id>/register/", views.register, name="register"),
    path("runs/<str:run_id>/registered/", views.registered, name="registered"),
    path("models/<str:name>/", views.model, name="model"),
    path("models/<str:name>/access/", access_views.model, name="access"),
    path("models/<str:name>/versions/<int:version>/", views.version, name="version"),
]
