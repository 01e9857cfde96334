"""What is served: endpoints, their deployments, each attempt to bring one live, and its replicas."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.db.models.expressions import Expression
from django.db.models.functions import Coalesce, Now
from django.urls import reverse
from django.utils.timezone import now

from studio.accounts.models import Grant, User
from studio.accounts.permissions import Governed, GovernedQuerySet, studio_level
from studio.lib.errors import IllegalMove, StateConflict

# The resource type of grants on endpoints.
ENDPOINT = "endpoint"

NAME_RULE = r"[a-z]([a-z0-9-]{1,30}[a-z0-9])"
valid_name = RegexValidator(
    rf"\A{NAME_RULE}\Z",
    "Use 3 to 32 characters: small letters, digits and dashes, beginning with a letter and not ending with a dash.",
)


# What a deployment may ask for, both ends included.
REPLICAS = (1, 8)
MEMORY_MB = (64, 1_048_576)
_LONGEST_LEASE = timedelta(minutes=5)  # far more than anybody takes


class Wanted(models.TextChoices):
    LIVE = "live"
    STOPPED = "stopped"  # without processes, with everything else kept
    GONE = "gone"  # stopped, and then deleted


class EndpointQuerySet(GovernedQuerySet["Endpoint"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return studio_level(user, ENDPOINT, "pk")

    def locked(self) -> EndpointQuerySet:
        """For who changes an endpoint and its deployments: always the endpoint first, so that no two wait in a ring."""
        return self.select_for_update(no_key=True)

    def remove_finished(self) -> None:
        """Delete the endpoints that shall go and have nothing behind them any more, and the grants on them."""
        finished = list(
            self.filter(wanted=Wanted.GONE, deployments=None).values_list("pk", flat=True)
        )
        self.filter(pk__in=finished, deployments=None).delete()
        Grant.objects.filter(resource_type=ENDPOINT, resource_id__in=map(str, finished)).delete()


class Endpoint(Governed, models.Model):
    """An address that answers predictions, its keys, and the deployments behind it."""

    name = models.CharField(max_length=32, unique=True, validators=[valid_name])
    description = models.TextField(blank=True)
    wanted = models.CharField(max_length=8, choices=Wanted.choices, default=Wanted.LIVE)
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    # Sealed with STUDIO_SECRET_KEY, for who may see them; the digests are what the gateway compares.
    primary_key = models.TextField()
    primary_digest = models.CharField(max_length=64)
    secondary_key = models.TextField()
    secondary_digest = models.CharField(max_length=64)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("endpoints:endpoint", args=[self.name])

    @property
    def state(self) -> str:
        """In a word, from its deployments: empty, updating, live, degraded, paused or failed.

        Live: every deployment with traffic has a replica that is ready, if not all that it shall have:
        each request is answered. Degraded: one with traffic has none, stopped ones too, or deployments
        are live and none of them has traffic. Paused: every deployment that is kept is stopped.
        """
        deployments = list(self.deployments.all())
        kept = [deployment for deployment in deployments if deployment.wanted != Wanted.GONE]
        if not kept:
            return "updating" if deployments else "empty"
        if all(deployment.wanted == Wanted.STOPPED for deployment in kept):
            stopped = all(deployment.state == State.STOPPED for deployment in kept)
            return "paused" if stopped else "updating"
        serving = [deployment for deployment in kept if deployment.traffic]
        answering = [deployment.is_ready for deployment in serving]
        if any(answering):
            return "live" if all(answering) else "degraded"
        if any(deployment.is_on_the_way for deployment in serving or kept):
            return "updating"
        live = any(deployment.state == State.LIVE for deployment in kept)
        return "degraded" if serving or live else "failed"

    @property
    def scoring_url(self) -> str:
        return f"{settings.SCORING_URL}/endpoints/{self.name}/invocations"


class State(models.TextChoices):
    QUEUED = "queued", "Queued"
    RESOLVING = "resolving", "Resolving the model"
    FETCHING = "fetching", "Fetching the model"
    BUILDING = "building", "Building the environment"
    STARTING = "starting", "Starting"
    PROBING = "probing", "Loading the model"
    TRYING = "trying", "Trying the input example"
    LIVE = "live", "Live"
    PAUSED = "paused", "Paused"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


# The way to live, in order. Each is a step that a person sees.
STEPS = (
    State.RESOLVING,
    State.FETCHING,
    State.BUILDING,
    State.STARTING,
    State.PROBING,
    State.TRYING,
)
_ON_THE_WAY = (State.QUEUED, *STEPS)


class DeploymentQuerySet(GovernedQuerySet["Deployment"]):
    @staticmethod
    def level_for(user: User) -> Expression:
        return studio_level(user, ENDPOINT, "endpoint_id")

    def unsettled(self) -> DeploymentQuerySet:
        """Those that reconcile has something to do for, as far as rows can tell."""
        asked = Replica.objects.present().filter(deployment=OuterRef("pk"), wanted=True)
        fresh = asked.filter(outdated=False).order_by().values("deployment")
        count = Coalesce(Subquery(fresh.values(number=Count("pk"))), 0)
        live = Q(state__in=[State.LIVE, State.FAILED], wanted=Wanted.LIVE)
        stopped = Q(state=State.STOPPED, wanted=Wanted.STOPPED)
        return self.filter(
            ~(live | stopped)
            | Q(~Q(replicas_wanted=count), state=State.LIVE)
            | Q(Exists(asked.filter(outdated=True)), state=State.LIVE)
            | Q(Exists(asked), state__in=[State.FAILED, State.STOPPED])
        )

    def heir_of(self, leaving: Deployment) -> Deployment | None:
        """Of an endpoint's deployments, the one that takes over the traffic when `leaving` goes: the newest live one.

        None: there is none, `leaving` has no traffic, or others that run have some and go on as before.
        """
        kept = self.exclude(wanted=Wanted.GONE)
        others = kept.filter(wanted=Wanted.LIVE).exclude(pk=leaving.pk)
        if others.filter(traffic__gt=0) or not kept.filter(pk=leaving.pk, traffic__gt=0):
            return None
        return others.filter(state=State.LIVE).last()

    def unleased(self, *, holder: str = "") -> DeploymentQuerySet:
        """Those that nobody else holds. A lease into the far future is of before the clock was set back."""
        held = Q(lease_until__range=(Now(), Now() + _LONGEST_LEASE))
        return self.filter(Q(lease_holder__in=["", holder]) | ~held)

    def take_lease(self, pk: int, holder: str, seconds: int) -> bool:
        """Take or renew the lease. Another's is left alone until it has run out."""
        until = Now() + timedelta(seconds=seconds)
        mine = self.filter(pk=pk).unleased(holder=holder)
        return bool(mine.update(lease_holder=holder, lease_until=until))

    def free_lease(self, pk: int, holder: str) -> None:
        self.filter(pk=pk, lease_holder=holder).update(lease_holder="", lease_until=None)


class Deployment(Governed, models.Model):
    """One model version running behind an endpoint. `wanted` is what a person asked for, `state` what is."""

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.QUEUED: {State.RESOLVING, State.STOPPING, State.FAILED},
        State.RESOLVING: {State.FETCHING, State.STOPPING, State.FAILED},
        State.FETCHING: {State.BUILDING, State.STOPPING, State.FAILED},
        State.BUILDING: {State.STARTING, State.STOPPING, State.FAILED},
        State.STARTING: {State.PROBING, State.STOPPING, State.FAILED},
        State.PROBING: {State.TRYING, State.STOPPING, State.FAILED},
        State.TRYING: {State.LIVE, State.STOPPING, State.FAILED},
        State.LIVE: {State.STOPPING, State.FAILED},
        State.PAUSED: {State.LIVE, State.STOPPING},
        State.FAILED: {State.QUEUED, State.STOPPING},
        State.STOPPING: {State.STOPPED},
        State.STOPPED: {State.QUEUED},
    }

    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="deployments")
    name = models.CharField(max_length=32, validators=[valid_name])
    model_name = models.CharField(max_length=256)
    model_version = models.PositiveIntegerField()
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    wanted = models.CharField(max_length=8, choices=Wanted.choices, default=Wanted.LIVE)
    traffic = models.PositiveSmallIntegerField(
        default=0, help_text="Percent of the endpoint's requests."
    )
    replicas_wanted = models.PositiveSmallIntegerField(
        default=1, help_text="How many replicas shall run."
    )
    memory_mb = models.PositiveIntegerField(
        default=2048, help_text="A replica that holds more is ended: PSS of its tree, in MiB."
    )

    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    state_at = models.DateTimeField(default=now)
    reason = models.TextField(blank=True, help_text="Why it failed, for the person who reads it.")
    detail = models.TextField(
        blank=True,
        help_text="What the failed step printed last, a traceback for instance.",
    )
    changes = models.PositiveIntegerField(
        default=0, help_text="Counts what a page would show differently."
    )

    storage = models.TextField(
        blank=True, help_text="Where the model's files lie, an artifact address."
    )
    environment = models.CharField(
        max_length=64, blank=True, help_text="The key of its built environment."
    )

    lease_holder = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "name"], name="deployment_name"),
            models.CheckConstraint(condition=Q(traffic__lte=100), name="deployment_traffic"),
            models.CheckConstraint(
                condition=Q(replicas_wanted__range=REPLICAS), name="deployment_replicas"
            ),
            models.CheckConstraint(
                condition=Q(memory_mb__range=MEMORY_MB), name="deployment_memory"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint.name}/{self.name}"

    @property
    def model_uri(self) -> str:
        return f"models:/{self.model_name}/{self.model_version}"

    @property
    def ready_replicas(self) -> int:
        """How many replicas answer and go on to, the outdated ones too: as many as requests are sent to."""
        return sum(
            replica.wanted and replica.state == ReplicaState.READY
            for replica in self.replicas.all()
        )

    @property
    def is_ready(self) -> bool:
        return self.ready_replicas > 0

    @property
    def is_on_the_way(self) -> bool:
        return self.wanted == Wanted.LIVE and self.state in _ON_THE_WAY

    @property
    def is_settled(self) -> bool:
        """Whether it is as it is wanted, or can get no further; its replicas may still come and go."""
        if self.wanted == Wanted.STOPPED:
            return self.state == State.STOPPED
        return self.wanted == Wanted.LIVE and self.state in (State.LIVE, State.FAILED)

    def move(self, to: State, **changes: Any) -> None:
        """Change state, or raise IllegalMove or StateConflict: the row must still be in the state we read."""
        if to not in self.MOVES.get(self.state, ()):
            raise IllegalMove(f"Deployment {self} cannot go from {self.state} to {to}.")
        changes |= {"state": to, "state_at": now(), "changes": F("changes") + 1}
        if not Deployment.objects.filter(pk=self.pk, state=self.state).update(**changes):
            raise StateConflict(f"Deployment {self} left {self.state} meanwhile.")
        self.refresh_from_db()

    def queue_again(self) -> Attempt:
        """Begin a new attempt. Raises IllegalMove or StateConflict. Within a transaction: both, or neither."""
        last = self.attempts.order_by("-number").values_list("number", flat=True)[0]
        self.move(State.QUEUED, reason="", detail="")
        return Attempt.objects.create(deployment=self, number=last + 1)


class Attempt(models.Model):
    """One try to bring a deployment live. A retry is a new one; the logs of both are kept."""

    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="attempt_number")
        ]


class AttemptStep(models.Model):
    """One step of an attempt, with its times. Not ended: it runs, or it was where the attempt failed."""

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="steps")
    name = models.CharField(max_length=12, choices=State.choices)
    detail = models.CharField(
        max_length=200, blank=True, help_text="What it found, in a few words."
    )
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    failed = models.BooleanField(default=False)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["attempt", "name"], name="attempt_step")]


class ReplicaState(models.TextChoices):
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DRAINING = "draining"
    GONE = "gone"


class ReplicaQuerySet(models.QuerySet["Replica"]):
    def present(self) -> ReplicaQuerySet:
        return self.exclude(state=ReplicaState.GONE)


class Replica(models.Model):
    """One process of a deployment. The engine that runs it writes its state; others only ask it to stop."""

    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="replicas")
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="replicas")
    wanted = models.BooleanField(
        default=True, help_text="False: it shall finish what it answers and end."
    )
    outdated = models.BooleanField(
        default=False, help_text="It goes once others have taken its place."
    )
    state = models.CharField(
        max_length=8, choices=ReplicaState.choices, default=ReplicaState.STARTING
    )
    address = models.TextField(blank=True, help_text="The Unix socket it answers on.")
    pid = models.PositiveIntegerField(null=True)
    pid_started = models.FloatField(
        null=True,
        help_text="As studio.lib.processes tells it; with the pid it names the process.",
    )
    exit_code = models.IntegerField(null=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it is gone.")
    restarts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    memory_bytes = models.PositiveBigIntegerField(
        null=True, help_text="What its process tree holds: PSS, so that shared pages count once."
    )
    cpu_percent = models.FloatField(null=True, help_text="Of one core, since the sample before.")

    objects = ReplicaQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]


class Agent(models.Model):
    """The process that owns the replicas of one host. It writes `seen_at` every few seconds."""

    host = models.CharField(max_length=255, primary_key=True)
    home = models.CharField(max_length=64, blank=True, help_text="The id of its STUDIO_HOME.")
    pid = models.PositiveIntegerField()
    seen_at = models.DateTimeField()
    warning = models.TextField(
        blank=True, help_text="What is not as it should be, though it works."
    )
