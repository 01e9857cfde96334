"""Django's administration shows the record of what was done. Users have pages of Studio's own."""

from __future__ import annotations

import django.contrib.auth.admin  # noqa: F401 - registers groups
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from studio.accounts.models import AuditEvent

admin.site.unregister(Group)  # MLflow's roles are what counts
admin.site.site_header = admin.site.site_title = "Studio"


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("at", "actor", "action", "target")
    search_fields = ("actor", "action", "target")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False
