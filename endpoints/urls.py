from __future__ import annotations

from django.urls import path

from endpoints import access_views, deployment_views, views

app_name = "endpoints"
_DEPLOYMENT = "endpoints/<str:name>/deployments/<str:deployment>"
urlpatterns = [
    path("endpoints/", views.endpoints, name="endpoints"),
    path("models/<str:name>/versions/<int:version>/deploy/", views.deploy, name="deploy"),
    path("endpoints/<str:name>/", views.endpoint, name="endpoint"),
    path("endpoints/<str:name>/access/", access_views.endpoint, name="access"),
    path("endpoints/<str:name>/overview/", views.overview, name="overview"),
    path("endpoints/<str:name>/test/", views.test, name="test"),
    path("endpoints/<str:name>/keys/", views.keys, name="keys"),
    path("endpoints/<str:name>/delete/", views.delete, name="delete"),
    path(f"{_DEPLOYMENT}/log/", deployment_views.log, name="log"),
    path(f"{_DEPLOYMENT}/log/download/", deployment_views.download_log, name="download-log"),
    path(f"{_DEPLOYMENT}/replicas/", deployment_views.replicas, name="replicas"),
    path(f"{_DEPLOYMENT}/retry/", deployment_views.retry, name="retry"),
    path(f"{_DEPLOYMENT}/stop/", deployment_views.stop, name="stop-deployment"),
    path(f"{_DEPLOYMENT}/start/", deployment_views.start, name="start-deployment"),
    path(f"{_DEPLOYMENT}/restart/", deployment_views.restart, name="restart-deployment"),
    path(f"{_DEPLOYMENT}/size/", deployment_views.scale, name="scale-deployment"),
    path(f"{_DEPLOYMENT}/delete/", deployment_views.delete, name="delete-deployment"),
]
