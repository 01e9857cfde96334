from __future__ import annotations

from django.urls import path

from studio.accounts import administration, password_views, views

_USER = "administration/users/<str:username>/"
app_name = "accounts"
urlpatterns = [
    path("login/", views.SignIn.as_view(), name="login"),
    path("logout/", views.SignOut.as_view(), name="logout"),
    path("settings/tokens/", views.tokens, name="tokens"),
    path("settings/tokens/<int:pk>/revoke/", views.revoke, name="revoke"),
    path("settings/password/", password_views.ChangePassword.as_view(), name="password"),
    path("password/", password_views.set_password, name="set-password"),
    path("administration/", administration.administration, name="administration"),
    path("administration/users/", administration.users, name="users"),
    path(_USER, administration.user, name="user"),
    path(f"{_USER}password-link/", administration.password_link, name="password-link"),
    path(f"{_USER}active/", administration.active, name="active"),
    path(f"{_USER}administrator/", administration.administrator, name="administrator"),
    path(f"{_USER}lockouts/", administration.lockouts, name="lockouts"),
    path(f"{_USER}endpoints/", administration.all_endpoints, name="all-endpoints"),
    path(f"{_USER}delete/", administration.delete, name="delete-user"),
]
