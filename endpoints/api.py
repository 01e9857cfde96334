"""/api/v1/endpoints: endpoints, deployments, logs and keys."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Protocol

from django.urls import path, reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from endpoints import access, grants_api, logs, query, services
from endpoints.models import MEMORY_MB, REPLICAS, Deployment, Endpoint, Replica, valid_name
from registry import access as registry_access
from registry import query as registry_query
from studio.accounts.access import signed_in
from studio.accounts.guards import once
from studio.accounts.models import User
from studio.accounts.permissions import Level
from studio.lib.api import PAGE_PARAMETER, ErrorOutput, Text, listed, page
from studio.lib.errors import Invalid, NotFound

_NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_ERRORS = {400: ErrorOutput, 403: ErrorOutput, 404: ErrorOutput, 409: ErrorOutput}


class EndpointOutput(serializers.Serializer[Endpoint]):
    name = serializers.CharField()
    description = serializers.CharField()
    state = serializers.CharField()
    scoring_url = serializers.CharField()
    traffic = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_traffic(self, endpoint: Endpoint) -> dict[str, int]:
        return {deployment.name: deployment.traffic for deployment in endpoint.deployments.all()}


class ReplicaOutput(serializers.Serializer[Replica]):
    id = serializers.IntegerField(help_text="Names its log: pass it as `replica`.")
    state = serializers.CharField()
    reason = serializers.CharField(help_text="Why it is gone.")
    pid = serializers.IntegerField(allow_null=True)
    memory_bytes = serializers.IntegerField(
        allow_null=True, help_text="PSS of its process tree: pages that it shares count in part."
    )
    cpu_percent = serializers.FloatField(allow_null=True, help_text="Of one core.")
    restarts = serializers.IntegerField()
    started_at = serializers.DateTimeField(allow_null=True)


class DeploymentOutput(serializers.Serializer[Deployment]):
    name = serializers.CharField()
    model_uri = serializers.CharField()
    state = serializers.CharField()
    step = serializers.SerializerMethodField(
        help_text="The step that runs or has failed, else empty."
    )
    attempt = serializers.SerializerMethodField()
    reason = serializers.CharField()
    detail = serializers.CharField()
    traffic = serializers.IntegerField()
    replicas = serializers.IntegerField(
        source="replicas_wanted", help_text="How many replicas shall run."
    )
    ready_replicas = serializers.IntegerField(help_text="How many replicas answer.")
    memory_mb = serializers.IntegerField(help_text="What a replica may hold, in MiB.")
    replica_list = ReplicaOutput(
        many=True, source="replicas.all", help_text="Of all its attempts, gone ones too."
    )
    created_at = serializers.DateTimeField()

    def get_step(self, deployment: Deployment) -> str:
        attempt = deployment.attempts.all()[0]
        return next(
            (step.name for step in attempt.steps.all() if step.failed or step.ended_at is None),
            "",
        )

    def get_attempt(self, deployment: Deployment) -> int:
        return deployment.attempts.all()[0].number


class Endpoints(APIView):
    @extend_schema_serializer(component_name="EndpointCreate")
    class Input(serializers.Serializer[Any]):
        name = Text(rule=valid_name)
        description = Text(required=False, allow_blank=True, default="", max_length=5000)

    @extend_schema(
        operation_id="endpoints_list",
        responses={200: listed("EndpointList", EndpointOutput)},
        parameters=[PAGE_PARAMETER],
    )
    def get(self, request: Request) -> Response:
        return page(
            request,
            query.endpoint_list(access.endpoints_for(request.user), ""),
            EndpointOutput,
        )

    @once
    @extend_schema(request=Input, responses={201: EndpointOutput, **_ERRORS, 422: ErrorOutput})
    def post(self, request: Request) -> Response:
        by = access.creator(request.user)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        endpoint = services.create_endpoint(**data.validated_data, by=by)
        location = reverse("api:endpoint", args=[endpoint.name])
        return Response(
            EndpointOutput(endpoint).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": location},
        )


class EndpointView(APIView):
    @extend_schema_serializer(component_name="EndpointChange")
    class Input(serializers.Serializer[Any]):
        description = Text(allow_blank=True, max_length=5000)

    @extend_schema(responses={200: EndpointOutput, 404: ErrorOutput})
    def get(self, request: Request, name: str) -> Response:
        endpoint = access.endpoint_for(request.user, name)
        return Response(
            EndpointOutput(
                query.with_deployments(Endpoint.objects.filter(pk=endpoint.pk)).get()
            ).data
        )

    @extend_schema(request=Input, responses={200: EndpointOutput, **_ERRORS})
    def patch(self, request: Request, name: str) -> Response:
        endpoint = access.endpoint_for(request.user, name, Level.EDIT)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        services.describe_endpoint(
            endpoint=endpoint, description=data.validated_data["description"]
        )
        return self.get(request, name)

    @extend_schema(responses={202: None, 403: ErrorOutput, 404: ErrorOutput})
    def delete(self, request: Request, name: str) -> Response:
        services.delete_endpoint(
            endpoint=access.endpoint_for(request.user, name, Level.MANAGE),
            by=signed_in(request.user),
        )
        return _going(request)


class DeploymentSize(serializers.Serializer[Any]):
    """How many replicas shall run, and what each may hold. What is not given stays as it is."""

    replicas = serializers.IntegerField(
        required=False, min_value=REPLICAS[0], max_value=REPLICAS[1], help_text="A new one has 1."
    )
    memory_mb = serializers.IntegerField(
        required=False,
        min_value=MEMORY_MB[0],
        max_value=MEMORY_MB[1],
        help_text="A replica that holds more MiB is ended. A new one has 2048.",
    )


class Deployments(APIView):
    @extend_schema_serializer(component_name="DeploymentCreate")
    class Input(DeploymentSize):
        name = Text(rule=valid_name)
        model_uri = Text(max_length=500, help_text="models:/NAME/VERSION or models:/NAME@ALIAS")

    @extend_schema(
        operation_id="endpoints_deployments_list",
        responses={200: listed("DeploymentList", DeploymentOutput), 404: ErrorOutput},
        parameters=[PAGE_PARAMETER],
    )
    def get(self, request: Request, name: str) -> Response:
        return page(
            request,
            query.with_attempts(access.endpoint_for(request.user, name).deployments.all()),
            DeploymentOutput,
        )

    @once
    @extend_schema(request=Input, responses={202: DeploymentOutput, **_ERRORS, 422: ErrorOutput})
    def post(self, request: Request, name: str) -> Response:
        endpoint = access.endpoint_for(request.user, name, Level.EDIT)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        given = dict(data.validated_data)
        version = registry_query.parse_uri(
            registry_access.versions_for(request.user), given.pop("model_uri")
        )
        made = services.deploy(
            endpoint=endpoint, version=version, by=signed_in(request.user), **given
        )
        return _accepted(made)


class DeploymentView(APIView):
    @extend_schema(responses={200: DeploymentOutput, 404: ErrorOutput})
    def get(self, request: Request, name: str, deployment: str) -> Response:
        return Response(
            DeploymentOutput(access.deployment_for(request.user, name, deployment)).data
        )

    @extend_schema(request=DeploymentSize, responses={202: DeploymentOutput, **_ERRORS})
    def patch(self, request: Request, name: str, deployment: str) -> Response:
        found = access.deployment_for(request.user, name, deployment, Level.EDIT)
        data = DeploymentSize(data=request.data)
        data.is_valid(raise_exception=True)
        by = signed_in(request.user)
        return _accepted(services.scale(deployment=found, by=by, **data.validated_data))

    @extend_schema(responses={202: None, 403: ErrorOutput, 404: ErrorOutput})
    def delete(self, request: Request, name: str, deployment: str) -> Response:
        found = access.deployment_for(request.user, name, deployment, Level.MANAGE)
        services.delete_deployment(deployment=found, by=signed_in(request.user))
        return _going(request)


class Retry(APIView):
    @once
    @extend_schema(request=None, responses={202: DeploymentOutput, **_ERRORS, 422: ErrorOutput})
    def post(self, request: Request, name: str, deployment: str) -> Response:
        found = access.deployment_for(request.user, name, deployment, Level.EDIT)
        services.retry(deployment=found)
        return _accepted(found)


class _Asked(Protocol):
    def __call__(self, *, deployment: Deployment, by: User) -> Deployment: ...


class Act(APIView):
    """Something that a person asks of a deployment, without further words."""

    asked: ClassVar[_Asked]

    @once
    @extend_schema(request=None, responses={202: DeploymentOutput, **_ERRORS, 422: ErrorOutput})
    def post(self, request: Request, name: str, deployment: str) -> Response:
        found = access.deployment_for(request.user, name, deployment, Level.EDIT)
        return _accepted(type(self).asked(deployment=found, by=signed_in(request.user)))


class Stop(Act):
    asked = staticmethod(services.stop_deployment)


class Start(Act):
    asked = staticmethod(services.start_deployment)


class Restart(Act):
    asked = staticmethod(services.restart_deployment)


class LogsOutput(serializers.Serializer[Any]):
    items = serializers.ListField(child=serializers.CharField())
    next = serializers.IntegerField(help_text="Pass it as `after` to read on from here.")


class Logs(APIView):
    @extend_schema(
        responses={200: LogsOutput, 400: ErrorOutput, 404: ErrorOutput},
        parameters=[
            OpenApiParameter(
                "attempt", _NUMBER, description="Which attempt; without it the last one."
            ),
            OpenApiParameter(
                "replica",
                _NUMBER,
                description="Whose log: this replica's; without it the build's.",
            ),
            OpenApiParameter(
                "after", _NUMBER, description="Where to read on: `next` of the last answer."
            ),
        ],
    )
    def get(self, request: Request, name: str, deployment: str) -> Response:
        found = access.deployment_for(request.user, name, deployment)
        asked = {key: _number(request, key) for key in ("attempt", "replica", "after")}
        attempts = (
            found.attempts.filter(number=asked["attempt"])
            if asked["attempt"]
            else found.attempts.all()
        )
        attempt = attempts.first()
        if attempt is None:
            raise NotFound(f"The deployment {found} has no attempt {asked['attempt']}.")
        path = logs.of_attempt(attempt)
        if asked["replica"]:
            replica = (
                Replica.objects.filter(attempt=attempt, pk=asked["replica"])
                .select_related("attempt__deployment")
                .first()
            )
            if replica is None:
                raise NotFound(
                    f"Attempt {attempt.number} of {found} has no replica {asked['replica']}."
                )
            path = logs.of_replica(replica)
        read = logs.read(path, asked["after"])
        return Response({"items": read.lines, "next": read.next})


class KeysOutput(serializers.Serializer[Any]):
    primary = serializers.CharField()
    secondary = serializers.CharField()


class Keys(APIView):
    @extend_schema(responses={200: KeysOutput, 403: ErrorOutput, 404: ErrorOutput})
    def get(self, request: Request, name: str) -> Response:
        return _keys(
            services.reveal_keys(
                endpoint=access.endpoint_for(request.user, name, Level.MANAGE),
                by=signed_in(request.user),
            )
        )


class RegenerateKey(APIView):
    @extend_schema_serializer(component_name="KeyChoice")
    class Input(serializers.Serializer[Any]):
        key = serializers.ChoiceField(["primary", "secondary"])

    @once
    @extend_schema(request=Input, responses={200: KeysOutput, **_ERRORS, 422: ErrorOutput})
    def post(self, request: Request, name: str) -> Response:
        endpoint = access.endpoint_for(request.user, name, Level.MANAGE)
        by = signed_in(request.user)
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        services.regenerate_key(endpoint=endpoint, which=data.validated_data["key"], by=by)
        return _keys(services.reveal_keys(endpoint=endpoint, by=by))


def _accepted(deployment: Deployment) -> Response:
    location = reverse("api:deployment", args=[deployment.endpoint.name, deployment.name])
    return Response(
        DeploymentOutput(deployment).data,
        status=status.HTTP_202_ACCEPTED,
        headers={"Location": location},
    )


def _going(request: Request) -> Response:
    """It is being ended: its own address answers 404 once it is gone."""
    return Response(status=status.HTTP_202_ACCEPTED, headers={"Location": request.path})


def _keys(keys: dict[services.KeyName, str]) -> Response:
    return Response(keys, headers={"Cache-Control": "no-store"})


def _number(request: Request, name: str) -> int:
    raw = request.query_params.get(name, "") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", raw):
        raise Invalid(f"{name}={raw!r}: write a number.")
    return int(raw)


_ENDPOINT = "endpoints/<str:name>"
_DEPLOYMENT = f"{_ENDPOINT}/deployments/<str:deployment>"
urlpatterns = [
    path("endpoints", Endpoints.as_view(), name="endpoints"),
    path(_ENDPOINT, EndpointView.as_view(), name="endpoint"),
    path(f"{_ENDPOINT}/deployments", Deployments.as_view(), name="deployments"),
    path(_DEPLOYMENT, DeploymentView.as_view(), name="deployment"),
    path(f"{_DEPLOYMENT}/retry", Retry.as_view(), name="retry"),
    path(f"{_DEPLOYMENT}/stop", Stop.as_view(), name="stop"),
    path(f"{_DEPLOYMENT}/start", Start.as_view(), name="start"),
    path(f"{_DEPLOYMENT}/restart", Restart.as_view(), name="restart"),
    path(f"{_DEPLOYMENT}/logs", Logs.as_view(), name="logs"),
    path(f"{_ENDPOINT}/keys", Keys.as_view(), name="keys"),
    path(f"{_ENDPOINT}/keys/regenerate", RegenerateKey.as_view(), name="regenerate-key"),
    *grants_api.urlpatterns,
]
