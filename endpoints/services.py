"""What people do with endpoints. Each returns at once; a worker does the long part."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from endpoints import tasks
from endpoints.engines import engine
from endpoints.models import (
    ENDPOINT,
    MEMORY_MB,
    REPLICAS,
    Attempt,
    Deployment,
    Endpoint,
    State,
    Wanted,
)
from registry.models import ModelVersion
from studio.accounts.models import Grant, Permission, User
from studio.accounts.services import record
from studio.lib.errors import Conflict, Invalid, NotFound
from studio.lib.notify import ROUTES, notify
from studio.lib.secrets import decrypt, digest, encrypt

KeyName = Literal["primary", "secondary"]


@transaction.atomic
def create_endpoint(*, name: str, description: str, by: User) -> Endpoint:
    """Make an endpoint with two new keys, which `by` manages. Raises Conflict when the name is taken."""
    primary, secondary = _new_key(), _new_key()
    row = Endpoint(
        name=name,
        description=description,
        created_by=by,
        primary_key=encrypt(settings.SECRET_KEY, primary),
        primary_digest=digest(primary),
        secondary_key=encrypt(settings.SECRET_KEY, secondary),
        secondary_digest=digest(secondary),
    )
    # Not an INSERT that fails: PostgreSQL would write it to its log, keys and all.
    Endpoint.objects.bulk_create([row], ignore_conflicts=True)
    endpoint = Endpoint.objects.filter(name=name, primary_digest=row.primary_digest).first()
    if endpoint is None:
        raise Conflict(f"There is already an endpoint named {name!r}: choose another name.")
    Grant.objects.create(
        user=by,
        resource_type=ENDPOINT,
        resource_id=str(endpoint.pk),
        permission=Permission.MANAGE,
    )
    notify(ROUTES)
    return endpoint


def describe_endpoint(*, endpoint: Endpoint, description: str) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(description=description)


@transaction.atomic
def deploy(
    *,
    endpoint: Endpoint,
    version: ModelVersion,
    name: str,
    by: User,
    replicas: int = 1,
    memory_mb: int = 2048,
) -> Deployment:
    """Queue `version` on `endpoint`. Returns at once; a worker makes it live.

    Raises Conflict when the name is taken, Invalid when it asks for too much or too little.
    """
    _check_size(replicas, memory_mb)
    endpoint = _locked(endpoint)
    if endpoint.wanted == Wanted.GONE:
        raise Conflict(f"The endpoint {endpoint} is being deleted: wait, or choose another.")
    try:
        with transaction.atomic():
            deployment = Deployment.objects.create(
                endpoint=endpoint,
                name=name,
                model_name=version.name,
                model_version=version.version,
                created_by=by,
                replicas_wanted=replicas,
                memory_mb=memory_mb,
            )
    except IntegrityError:
        raise Conflict(
            f"The endpoint {endpoint} already has a deployment named {name!r}: choose another name."
        ) from None
    Attempt.objects.create(deployment=deployment, number=1)
    _wake(deployment)
    return deployment


@transaction.atomic
def deploy_to_new(
    *,
    name: str,
    version: ModelVersion,
    deployment: str,
    by: User,
    replicas: int = 1,
    memory_mb: int = 2048,
) -> Deployment:
    """Make an endpoint and deploy to it: both, or neither. Raises Conflict, Invalid."""
    endpoint = create_endpoint(name=name, description="", by=by)
    return deploy(
        endpoint=endpoint,
        version=version,
        name=deployment,
        by=by,
        replicas=replicas,
        memory_mb=memory_mb,
    )


@transaction.atomic
def retry(*, deployment: Deployment) -> Attempt:
    """Try again after a failure, as a new attempt. Raises Conflict when there is nothing to try again."""
    if deployment.state != State.FAILED or deployment.wanted != Wanted.LIVE:
        raise Conflict(
            f"The deployment {deployment} is {deployment.get_state_display().lower()}: only a failed one is tried again."
        )
    attempt = deployment.queue_again()
    _wake(deployment)
    return attempt


@transaction.atomic
def scale(
    *,
    deployment: Deployment,
    by: User,
    replicas: int | None = None,
    memory_mb: int | None = None,
) -> Deployment:
    """Change how many replicas shall run, and what each may hold. What is not given stays. Raises Conflict, Invalid.

    One that is not live takes it as its measure for when it is.
    """
    found = _kept(deployment)
    replicas = found.replicas_wanted if replicas is None else replicas
    memory_mb = found.memory_mb if memory_mb is None else memory_mb
    _check_size(replicas, memory_mb)
    if (replicas, memory_mb) == (found.replicas_wanted, found.memory_mb):
        return found
    record(actor=by, action="deployment.scale", target=f"{found}: {replicas} × {memory_mb} MB")
    return _changed(found, replicas_wanted=replicas, memory_mb=memory_mb)


@transaction.atomic
def stop_deployment(*, deployment: Deployment, by: User) -> Deployment:
    """End the replicas, or the work that shall bring one live; everything else is kept. Raises Conflict."""
    found = _kept(deployment)
    if found.wanted == Wanted.STOPPED:
        already = "stopped" if found.state == State.STOPPED else "being stopped"
        raise Conflict(f"The deployment {found} is {already} already.")
    if found.state == State.FAILED:
        raise Conflict(
            f"The deployment {found} has failed, and nothing of it runs: try it again, or delete it."
        )
    record(actor=by, action="deployment.stop", target=str(found))
    return _changed(found, wanted=Wanted.STOPPED)


@transaction.atomic
def start_deployment(*, deployment: Deployment, by: User) -> Deployment:
    """Queue a stopped one again, as a new attempt; its traffic is what it was. Raises Conflict.

    One that is still being stopped is queued when it has stopped, unless nobody has begun to stop it:
    then it goes on as it was.
    """
    found = _kept(deployment)
    if found.wanted != Wanted.STOPPED:
        raise Conflict(
            f"The deployment {found} is {found.get_state_display().lower()}: only a stopped one is started."
        )
    record(actor=by, action="deployment.start", target=str(found))
    if found.state == State.STOPPED:
        found.queue_again()
    return _changed(found, wanted=Wanted.LIVE)


@transaction.atomic
def restart_deployment(*, deployment: Deployment, by: User) -> Deployment:
    """Have new replicas take the place of those that run, which answer until then. Raises Conflict."""
    found = _kept(deployment)
    if found.wanted != Wanted.LIVE or found.state != State.LIVE:
        raise Conflict(
            f"The deployment {found} is {found.get_state_display().lower()}: only a live one is restarted."
        )
    record(actor=by, action="deployment.restart", target=str(found))
    engine().outdate(found)
    return _changed(found)


@transaction.atomic
def delete_deployment(*, deployment: Deployment, by: User) -> Deployment | None:
    """End the deployment's replicas, then remove it and its logs. Returns who takes over its traffic, if anyone does."""
    endpoint = _locked(deployment.endpoint)
    behind = Deployment.objects.filter(endpoint=endpoint)
    heir = behind.heir_of(deployment)
    _end(deployment, by)
    if heir is not None:
        taken = sum(behind.values_list("traffic", flat=True))  # by stopped ones, which keep it
        behind.filter(pk=heir.pk).update(traffic=100 - taken, changes=F("changes") + 1)
    return heir


def _end(deployment: Deployment, by: User) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(
        wanted=Wanted.GONE, traffic=0, changes=F("changes") + 1
    )
    record(actor=by, action="deployment.delete", target=str(deployment))
    notify(ROUTES)
    _wake(deployment)


@transaction.atomic
def delete_endpoint(*, endpoint: Endpoint, by: User) -> None:
    """Delete its deployments, and the endpoint with the last of them. Its address answers no more from now on."""
    endpoint = _locked(endpoint)
    for deployment in endpoint.deployments.all():
        _end(deployment, by)
    Endpoint.objects.filter(pk=endpoint.pk).update(wanted=Wanted.GONE)
    record(actor=by, action="endpoint.delete", target=endpoint.name)
    Endpoint.objects.remove_finished()
    notify(ROUTES)


@transaction.atomic
def reveal_keys(*, endpoint: Endpoint, by: User) -> dict[KeyName, str]:
    """Return both keys in clear, and put on record who has seen them."""
    record(actor=by, action="endpoint.keys.reveal", target=endpoint.name)
    return {
        "primary": primary_key(endpoint),
        "secondary": decrypt(settings.SECRET_KEY, endpoint.secondary_key),
    }


def primary_key(endpoint: Endpoint) -> str:
    """The key in clear, for Studio's own calls. Whoever shows it to a person calls reveal_keys."""
    return decrypt(settings.SECRET_KEY, endpoint.primary_key)


@transaction.atomic
def regenerate_key(*, endpoint: Endpoint, which: KeyName, by: User) -> None:
    """Replace one key: the old one is refused from now on."""
    key = _new_key()
    sealed = {
        f"{which}_key": encrypt(settings.SECRET_KEY, key),
        f"{which}_digest": digest(key),
    }
    Endpoint.objects.filter(pk=endpoint.pk).update(**sealed)
    endpoint.refresh_from_db()
    record(actor=by, action=f"endpoint.keys.regenerate.{which}", target=endpoint.name)
    notify(ROUTES)


def _locked(endpoint: Endpoint) -> Endpoint:
    """The endpoint as it is now, until the transaction ends. Raises NotFound."""
    found = Endpoint.objects.locked().filter(pk=endpoint.pk).first()
    if found is None:
        raise NotFound(f"There is no longer an endpoint named {endpoint.name!r}.")
    return found


def _kept(deployment: Deployment) -> Deployment:
    """The deployment as it is now, until the transaction ends. Raises NotFound, and Conflict when it is being deleted."""
    _locked(deployment.endpoint)
    held = Deployment.objects.select_for_update(of=["self"], no_key=True)
    found = held.select_related("endpoint").filter(pk=deployment.pk).first()
    if found is None:
        raise NotFound(f"There is no longer a deployment named {deployment.name!r}.")
    if found.wanted == Wanted.GONE:
        raise Conflict(f"The deployment {found} is being deleted.")
    return found


def _changed(deployment: Deployment, **fields: Any) -> Deployment:
    """Write the fields, and have everybody look: pages, the gateway and a worker."""
    Deployment.objects.filter(pk=deployment.pk).update(**fields, changes=F("changes") + 1)
    deployment.refresh_from_db()
    notify(ROUTES)
    _wake(deployment)
    return deployment


def _check_size(replicas: int, memory_mb: int) -> None:
    (fewest, most), (least, largest) = REPLICAS, MEMORY_MB
    if not fewest <= replicas <= most:
        raise Invalid(f"A deployment has {fewest} to {most} replicas, not {replicas}.")
    if not least <= memory_mb <= largest:
        raise Invalid(f"A replica may hold {least} to {largest} MB of memory, not {memory_mb}.")


def _new_key() -> str:
    return secrets.token_urlsafe(32)


def _wake(deployment: Deployment) -> None:
    """Have a worker look, once this is committed. A broker that is down loses nothing: the sweep finds the row."""
    transaction.on_commit(lambda: tasks.reconcile.delay(deployment.pk), robust=True)
