"""What a user may do with a row: READ < USE < EDIT < MANAGE, computed in the statement that reads the row.

For MLflow's resources the grants are MLflow's (roles, role_permissions, user_role_assignments) and the rules
those of `mlflow.server.auth.requirements`, whose import costs a process seconds and much memory: here they
are SQL, and tests/studio/accounts/test_permissions.py compares the two over generated grants. Among the
grants on a resource DENY wins, else the highest; MANAGE on the workspace is MANAGE on everything in it, even
where a DENY stands; without a grant there is nothing: MLflow runs with default_permission = NO_PERMISSIONS.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Self, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db import connection, models
from django.db.models import F, Func, Value
from django.db.models.expressions import Expression
from django.db.models.functions import Cast

if TYPE_CHECKING:
    from studio.accounts.models import User

_Row = TypeVar("_Row", bound=models.Model)

# MLflow's workspace for everything, as long as workspaces are off.
WORKSPACE = "default"
# In a grant: any resource of the type. In a question: the type as a whole.
ANY = "*"


class Level(IntEnum):
    NONE = 0
    READ = 1
    USE = 2
    EDIT = 3
    MANAGE = 4


_DENIED = "bool_or(granted.permission = 'DENY')"
_HIGHEST = "max(coalesce(array_position(ARRAY['READ', 'USE', 'EDIT', 'MANAGE'], granted.permission::text), 0))"


class _MlflowLevel(Func):
    """Of user name, resource type, id, and the type of a part of it ('' for the resource itself)."""

    output_field = models.IntegerField()
    template = f"""(
        SELECT CASE
            WHEN bool_or(granted.resource_type = 'workspace') THEN {Level.MANAGE:d}
            WHEN {_DENIED} FILTER (WHERE granted.resource_type = asked.resource_type) THEN {Level.NONE:d}
            WHEN coalesce({_HIGHEST} FILTER (WHERE granted.resource_type = asked.resource_type), 0) = 0 THEN {Level.NONE:d}
            WHEN {_DENIED} FILTER (WHERE granted.resource_type = asked.part) THEN {Level.NONE:d}
            ELSE coalesce({_HIGHEST} FILTER (WHERE granted.resource_type = asked.part), {_HIGHEST})
        END
        FROM (VALUES (%(expressions)s)) AS asked (username, resource_type, resource_id, part)
        JOIN users holder ON holder.username = asked.username
        JOIN user_role_assignments held ON held.user_id = holder.id
        JOIN roles ON roles.id = held.role_id AND roles.workspace = '{WORKSPACE}'
        JOIN role_permissions granted ON granted.role_id = roles.id
        WHERE granted.resource_type = asked.resource_type AND granted.resource_pattern IN ('*', asked.resource_id)
        OR granted.resource_type = asked.part AND granted.resource_pattern = '*'
        OR granted.resource_type = 'workspace' AND granted.resource_pattern = '*' AND granted.permission = 'MANAGE'
    )"""  # noqa: S608 - constants

    def of_one(self) -> Func:
        """The same by a function in the database (migration 0005), for one row or a few.

        To plan the statement above takes PostgreSQL 0.5 ms, five times as long as to run it, and Django
        prepares no statements: the function has its plan ready. Over many rows the statement is the faster.
        """
        return Func(
            *self.source_expressions,
            function="studio_mlflow_level",
            output_field=self.output_field,
        )


class _StudioLevel(Func):
    """Of user id, resource type and id."""

    output_field = models.IntegerField()
    template = f"""(
        SELECT CASE WHEN {_DENIED} THEN {Level.NONE:d} ELSE coalesce({_HIGHEST}, 0) END
        FROM (VALUES (%(expressions)s)) AS asked (user_id, resource_type, resource_id)
        JOIN accounts_grant granted ON granted.user_id = asked.user_id
        AND granted.resource_type = asked.resource_type AND granted.resource_id IN ('*', asked.resource_id)
    )"""  # noqa: S608 - constants


def mlflow_level(user: User, resource_type: str, resource: str, part: str = "") -> _MlflowLevel:
    """The user's level on a resource of MLflow's: `resource` names the column with its id.

    `part` is the type of something that belongs to it, a run of an experiment say. It takes READ on the
    whole; then the grants on the part's own type decide and, where they are silent, those on the whole.
    """
    identifier = Cast(F(resource), models.TextField())
    return _MlflowLevel(Value(user.username), Value(resource_type), identifier, Value(part))


def mlflow_level_on(user: User, resource_type: str, identifier: str, part: str = "") -> int:
    """The user's level on one resource of MLflow's by its id, which need not be there. An administrator's is MANAGE."""
    if user.is_administrator:
        return Level.MANAGE
    asked = [user.username, resource_type, identifier, part]
    with connection.cursor() as cursor:
        cursor.execute("SELECT studio_mlflow_level(%s, %s, %s, %s)", asked)
        level: int = cursor.fetchone()[0]
    return level


def studio_level(user: User, resource_type: str, resource: str) -> Expression:
    """The user's level on a resource of Studio's own: `resource` names the column with its id, or is ANY."""
    identifier = Value(ANY) if resource == ANY else Cast(F(resource), models.TextField())
    return _StudioLevel(Value(user.pk), Value(resource_type), identifier)


class Governed:
    """A row that a door has fetched, with the `level` of who asks. Templates show what the level allows."""

    level: int

    @property
    def can_use(self) -> bool:
        return self.level >= Level.USE

    @property
    def can_update(self) -> bool:
        return self.level >= Level.EDIT

    @property
    def can_manage(self) -> bool:
        return self.level >= Level.MANAGE


class GovernedQuerySet(models.QuerySet[_Row]):
    """Rows that not everybody may see. Administrators have MANAGE on all of them."""

    @staticmethod
    def level_for(user: User) -> Expression:
        """The user's level on each row."""
        raise NotImplementedError

    def visible_to(self, user: User | AnonymousUser, needs: Level = Level.READ) -> Self:
        """Those that the user may READ, or on which the user has the level that is needed."""
        if isinstance(user, AnonymousUser):
            return self.none()
        if user.is_administrator:
            return self
        return self.alias(own_level=self.level_for(user)).filter(own_level__gte=needs)

    def with_level(self, user: User) -> Self:
        """All of them, each with the user's `level` on it. For few rows: it is computed row by row."""
        level = Value(int(Level.MANAGE)) if user.is_administrator else self.level_for(user)
        return self.annotate(level=level.of_one() if isinstance(level, _MlflowLevel) else level)
