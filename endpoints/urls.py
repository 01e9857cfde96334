from __future__ import annotations

from django.urls import path

from endpoints import access_views, views

app_name = "endpoints"
urlpatterns = [
    path("endpoints/", views.endpoints, name="endpoints"),
    path("models/<str:name>/versions/<int:version>/deploy/", views.deploy, name="deploy"),
    path("endpoints/<str:name>/", views.endpoint, name="endpoint"),
    path("endpoints/<str:name>/access/", access_views.endpoint, name="access"),
    path("endpoints/<str:name>/overview/", views.overview, name="overview"),
    path("endpoints/<str:name>/test/", views.test, name="test"),
    path("endpoints/<str:name>/keys/", views.keys, name="keys"),
    path("endpoints/<str:name>/delete/", views.delete, name="delete"),
    path("endpoints/<str:name>/deployments/<str:deployment>/log/", views.log, name="log"),
    path(
        "endpoints/<str:name>/deployments/<str:deployment>/retry/",
        views.retry,
        name="retry",
    ),
    path(
        "endpoints/<str:name>/deployments/<str:deployment>/delete/",
        views.delete_deployment,
        name="delete-deployment",
    ),
]
