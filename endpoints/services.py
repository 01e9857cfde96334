"""What people do with endpoints. Each returns at once; a worker does the long part."""

from __future__ import annotations

import secrets
from typing import Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from endpoints import tasks
from endpoints.models import ENDPOINT, Attempt, Deployment, Endpoint, State, Wanted
from registry.models import ModelVersion
from studio.accounts.models import Grant, Permission, User
from studio.accounts.services import record
from studio.lib.errors import Conflict, NotFound
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
def deploy(*, endpoint: Endpoint, version: ModelVersion, name: str, by: User) -> Deployment:
    """Queue `version` on `endpoint`. Returns at once; a worker makes it live. Raises Conflict when the name is taken."""
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
            )
    except IntegrityError:
        raise Conflict(
            f"The endpoint {endpoint} already has a deployment named {name!r}: choose another name."
        ) from None
    Attempt.objects.create(deployment=deployment, number=1)
    _wake(deployment)
    return deployment


@transaction.atomic
def deploy_to_new(*, name: str, version: ModelVersion, deployment: str, by: User) -> Deployment:
    """Make an endpoint and deploy to it: both, or neither. Raises Conflict."""
    endpoint = create_endpoint(name=name, description="", by=by)
    return deploy(endpoint=endpoint, version=version, name=deployment, by=by)


@transaction.atomic
def retry(*, deployment: Deployment) -> Attempt:
    """Try again after a failure, as a new attempt. Raises Conflict when there is nothing to try again."""
    if deployment.state != State.FAILED or deployment.wanted != Wanted.LIVE:
        raise Conflict(
            f"The deployment {deployment} is {deployment.get_state_display().lower()}: only a failed one is tried again."
        )
    deployment.move(State.QUEUED, reason="", detail="")
    last = deployment.attempts.order_by("-number").values_list("number", flat=True)[0]
    attempt = Attempt.objects.create(deployment=deployment, number=last + 1)
    _wake(deployment)
    return attempt


@transaction.atomic
def delete_deployment(*, deployment: Deployment, by: User) -> Deployment | None:
    """End the deployment's replicas, then remove it and its logs. Returns who takes over its traffic, if anyone does."""
    endpoint = _locked(deployment.endpoint)
    heir = Deployment.objects.filter(endpoint=endpoint).heir_of(deployment)
    _end(deployment, by)
    if heir is not None:
        Deployment.objects.filter(pk=heir.pk).update(traffic=100, changes=F("changes") + 1)
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


def _new_key() -> str:
    return secrets.token_urlsafe(32)


def _wake(deployment: Deployment) -> None:
    """Have a worker look, once this is committed. A broker that is down loses nothing: the sweep finds the row."""
    transaction.on_commit(lambda: tasks.reconcile.delay(deployment.pk), robust=True)
