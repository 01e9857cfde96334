"""Who: people, their tokens, and the record of what they did with secrets."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractUser
from django.db import connection, models, transaction
from django.utils.timezone import now

from studio.accounts import hashes
from studio.accounts.hashes import UNUSABLE_HASH
from studio.lib.notify import ROUTES, notify
from studio.lib.secrets import digest

# Stands for a password that only MLflow's row knows: of a user who was MLflow's before Studio, and has not
# signed in since.
ADOPTED = "mlflow$"
# What decides whether and where a user's tokens are good.
_LET_IN = {"is_active", "is_superuser"}


# MLflow keeps these tables for a way back: it reads them no more, but they still refer to its users.
LEGACY_GRANTS = (
    "experiment_permissions",
    "registered_model_permissions",
    "scorer_permissions",
    "gateway_secret_permissions",
    "gateway_endpoint_permissions",
    "gateway_model_definition_permissions",
    "workspace_permissions",
)


class MlflowUser(models.Model):
    """MLflow's own row for a user: what its permission rules refer to. The table is MLflow's."""

    id = models.AutoField(primary_key=True)
    username = models.CharField(max_length=255, unique=True, null=True)
    password_hash = models.CharField(max_length=255, null=True)
    is_admin = models.BooleanField(null=True)

    class Meta:
        managed = False
        db_table = "users"

    def delete_with_grants(self) -> None:
        """Delete the row and, as MLflow does, first what refers to it: its schema has no cascades."""
        own_role = "SELECT id FROM roles WHERE name = %(role)s"
        statements = [
            f"DELETE FROM role_permissions WHERE role_id IN ({own_role})",  # noqa: S608 - constant
            f"DELETE FROM user_role_assignments WHERE user_id = %(user)s OR role_id IN ({own_role})",  # noqa: S608
            "DELETE FROM roles WHERE name = %(role)s",
            *(f"DELETE FROM {table} WHERE user_id = %(user)s" for table in LEGACY_GRANTS),  # noqa: S608
        ]
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, {"user": self.pk, "role": f"__user_{self.pk}__"})
        self.delete()


class Role(models.Model):
    """A bundle of MLflow's grants. One named `__user_<id>__` holds what its only user was given directly."""

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=255)
    workspace = models.CharField(max_length=63)
    description = models.CharField(max_length=1024, null=True)

    class Meta:
        managed = False
        db_table = "roles"


class RolePermission(models.Model):
    """A grant of MLflow's: a permission on a resource, `*` for each of its type."""

    id = models.AutoField(primary_key=True)
    role = models.ForeignKey(Role, models.DO_NOTHING, related_name="permissions")
    resource_type = models.CharField(max_length=64)
    resource_pattern = models.CharField(max_length=255)
    permission = models.CharField(max_length=255)

    class Meta:
        managed = False
        db_table = "role_permissions"

    @property
    def is_direct(self) -> bool:
        """Given to a user, not to a role that people made."""
        return self.role.name.startswith("__user_")


class UserRoleAssignment(models.Model):
    id = models.AutoField(primary_key=True)
    user = models.ForeignKey(MlflowUser, models.DO_NOTHING, related_name="assignments")
    role = models.ForeignKey(Role, models.DO_NOTHING, related_name="assignments")

    class Meta:
        managed = False
        db_table = "user_role_assignments"


class User(AbstractUser):
    """A person or a program that signs in. Its row in MLflow's table is written in the same transaction."""

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The super class forgets it.
        is_new_password = self._password is not None  # type: ignore[attr-defined]
        with transaction.atomic():
            super().save(*args, **kwargs)
            row, _ = MlflowUser.objects.update_or_create(
                username=self.username,
                defaults={"is_admin": self.is_administrator},
                create_defaults={
                    "is_admin": self.is_administrator,
                    "password_hash": UNUSABLE_HASH,
                },
            )
            # The password that MLflow would accept, should it ask for one again, is never an earlier one.
            if hashes.is_hash(row.password_hash) and (
                is_new_password or not self.has_usable_password()
            ):
                row.password_hash = hashes.for_mlflow(self.password)
                row.save(update_fields=["password_hash"])
            # The gateway knows who is let in. A sign-in, which saves `last_login` alone, is nothing to it.
            if _LET_IN & set(kwargs.get("update_fields") or _LET_IN):
                notify(ROUTES)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            for row in MlflowUser.objects.filter(username=self.username):
                row.delete_with_grants()
            notify(ROUTES)
            return super().delete(*args, **kwargs)

    def check_password(self, raw_password: str | None) -> bool:
        """As Django does, but for a user who was MLflow's: then MLflow's row knows, until it is right once."""
        if raw_password is None:
            return False
        if self.password != ADOPTED:
            return super().check_password(raw_password)
        row = MlflowUser.objects.filter(username=self.username).first()
        own = make_password(raw_password)  # right or wrong: it takes as long as for others
        if row is None or not hashes.proves(row.password_hash, raw_password):
            return False
        waiting = User.objects.filter(pk=self.pk, password=ADOPTED)
        if waiting.update(password=own):
            self.password = own
            return True
        self.refresh_from_db(fields=["password"])  # somebody was first
        return super().check_password(raw_password)

    @property
    def is_administrator(self) -> bool:
        return self.is_active and self.is_superuser

    @property
    def initials(self) -> str:
        return self.username[:2].upper()


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def usable(self) -> AccessTokenQuerySet:
        return self.filter(revoked_at=None, user__is_active=True)


class AccessToken(models.Model):
    """A program's way in as its user. Only a digest is kept; the text is shown once."""

    PREFIX = "studio_"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(
        max_length=16, help_text="The token's first characters, to tell it from others."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]

    @classmethod
    def issue(cls, *, user: User, label: str) -> tuple[AccessToken, str]:
        """Return the new row and its text, which nothing can tell again."""
        text = cls.PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            user=user,
            label=label,
            digest=digest(text),
            hint=text[: len(cls.PREFIX) + 4],
        )
        return row, text

    def note_use(self) -> None:
        """Remember that it was used, to the minute: a write at each request would cost more than it tells."""
        if self.last_used_at is None or now() - self.last_used_at > timedelta(minutes=1):
            AccessToken.objects.filter(pk=self.pk).update(last_used_at=now())


class Permission(models.TextChoices):
    """What can be granted, in MLflow's words. DENY wins over every other grant on the same resource."""

    READ = "READ", "Read"
    USE = "USE", "Use"
    EDIT = "EDIT", "Edit"
    MANAGE = "MANAGE", "Manage"
    DENY = "DENY", "Deny"


class Grant(models.Model):
    """A permission on a resource of Studio's own: endpoints now. MLflow's resources have MLflow's grants."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    resource_type = models.CharField(max_length=32)
    resource_id = models.CharField(max_length=64, help_text="`*` for each resource of the type.")
    permission = models.CharField(max_length=8, choices=Permission.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "resource_type", "resource_id"], name="grant_once"
            )
        ]
        indexes = [models.Index(fields=["resource_type", "resource_id"], name="grant_resource")]

    def __str__(self) -> str:
        return f"{self.permission} on {self.resource_type} {self.resource_id} for {self.user}"


class PasswordLink(models.Model):
    """A way to set a password once, which an administrator makes. Only a digest of its secret is kept.

    A user has one at most: a new one ends the one before.
    """

    LASTS = timedelta(hours=1)

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="password_link")
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()


class Attempts(models.Model):
    """Failures from one address to prove something: to be a user, or to hold a link (studio.accounts.limiter)."""

    subject = models.CharField(max_length=150, help_text="A user name, whether it is one or not.")
    address = models.CharField(max_length=64)
    count = models.PositiveIntegerField()
    since = models.DateTimeField(help_text="When the first of them was made.")
    locked_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "address"], name="attempts_once")]
        indexes = [models.Index(fields=["since"], name="attempts_since")]


class AuditEvent(models.Model):
    """Something that must be accounted for: who did what to which thing, and when."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=100)
    target = models.CharField(max_length=300)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["-at"], name="audit_at")]


class IdempotentRequestQuerySet(models.QuerySet["IdempotentRequest"]):
    def remembered(self) -> IdempotentRequestQuerySet:
        return self.filter(created_at__gt=now() - IdempotentRequest.REMEMBERED)

    def forget_old(self) -> None:
        """Delete some of those that are too old. What another deletes just now is left to it."""
        old = self.filter(created_at__lte=now() - IdempotentRequest.REMEMBERED)
        found = old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:100]
        self.filter(pk__in=list(found)).delete()


class IdempotentRequest(models.Model):
    """A POST that was sent with an Idempotency-Key and succeeded, and its answer. `body` is sealed."""

    REMEMBERED = timedelta(hours=24)

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    path = models.CharField(max_length=500)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the request's body.")
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    location = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()

    objects = IdempotentRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key", "path"], name="idempotent_request")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_at")]
