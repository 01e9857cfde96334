"""/api/v1/health: the administrators' page, for programs. To everybody else it is not there."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from studio.accounts.user_access import AdministratorView
from studio.health import facts
from studio.health.models import Failure
from studio.health.report import Report, report
from studio.lib.api import ErrorOutput


class TroubleOutput(serializers.Serializer[Any]):
    level = serializers.ChoiceField(["bad", "warn"], help_text="bad: something does not work.")
    what = serializers.CharField()
    do = serializers.CharField()


class ProcessOutput(serializers.Serializer[facts.Running]):
    name = serializers.CharField()
    host = serializers.CharField()
    pid = serializers.IntegerField()
    alive = serializers.BooleanField(help_text="Whether it has been heard of within 15 s.")
    started_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField()
    memory_bytes = serializers.IntegerField(source="memory")
    restarts = serializers.IntegerField(help_text="Without having been asked to, of the last day.")
    version = serializers.CharField()


class QueueOutput(serializers.Serializer[Any]):
    name = serializers.CharField()
    length = serializers.IntegerField()
    oldest_seconds = serializers.FloatField(source="oldest", allow_null=True)


class DeploymentsOutput(serializers.Serializer[facts.Deployments]):
    by_state = serializers.DictField(child=serializers.IntegerField())
    in_work = serializers.IntegerField()
    lapsed_leases = serializers.IntegerField(source="lapsed")


class TableOutput(serializers.Serializer[facts.Table]):
    name = serializers.CharField()
    bytes = serializers.IntegerField(source="size")


class DatabaseOutput(serializers.Serializer[facts.Database]):
    bytes = serializers.IntegerField(source="size")
    tables = TableOutput(many=True, help_text="The largest.")
    connections = serializers.IntegerField()
    connections_max = serializers.IntegerField(source="connections_most")


class PlaceOutput(serializers.Serializer[facts.Place]):
    name = serializers.CharField()
    where = serializers.CharField()
    bytes = serializers.IntegerField(source="size", allow_null=True)
    measured_at = serializers.DateTimeField(allow_null=True)
    free_bytes = serializers.IntegerField(source="free", allow_null=True)
    disk_bytes = serializers.IntegerField(source="disk", allow_null=True)


class PaceOutput(serializers.Serializer[Any]):
    route = serializers.CharField()
    count = serializers.IntegerField()
    p50_seconds = serializers.FloatField(source="p50")
    p95_seconds = serializers.FloatField(source="p95")
    max_seconds = serializers.FloatField(source="longest")


class FailureOutput(serializers.Serializer[Failure]):
    at = serializers.DateTimeField()
    process = serializers.CharField()
    host = serializers.CharField()
    route = serializers.CharField()
    kind = serializers.CharField()
    message = serializers.CharField()
    request_id = serializers.CharField()


class RevisionOutput(serializers.Serializer[Any]):
    name = serializers.CharField()
    found = serializers.CharField()
    wanted = serializers.CharField()


class SchemaOutput(serializers.Serializer[Any]):
    revisions = RevisionOutput(many=True)
    backlog = serializers.ListField(
        child=serializers.CharField(), help_text="Migrations still to be run."
    )


class HealthOutput(serializers.Serializer[Report]):
    status = serializers.ChoiceField(["ok", "warning", "unwell"])
    at = serializers.DateTimeField()
    parts = serializers.DictField(child=serializers.CharField())
    troubles = TroubleOutput(many=True)
    processes = ProcessOutput(many=True)
    queues = QueueOutput(
        source="broker.queues", many=True, default=list, help_text="None while Redis is away."
    )
    deployments = DeploymentsOutput()
    replicas = serializers.DictField(child=serializers.IntegerField())
    database = DatabaseOutput()
    places = PlaceOutput(many=True)
    slowest = PaceOutput(many=True, help_text="Of the last hour, by route.")
    failures = FailureOutput(many=True, help_text="The last, without any value.")
    versions = serializers.DictField(child=serializers.CharField())
    schema = SchemaOutput()


class Health(AdministratorView):
    @extend_schema(operation_id="health", responses={200: HealthOutput, 404: ErrorOutput})
    def get(self, request: Request) -> Response:
        return Response(HealthOutput(report()).data)


urlpatterns = [path("health", Health.as_view(), name="health")]
