"""Who may see what in a list: MLflow's rule of listings (`_role_based_read_predicate` of `mlflow.server.auth`), as SQL.

It is wider than the rule for one resource: there, a grant on the workspace counts from MANAGE on; here, any that
reads does, where the resource has no grant of its own.

Its subqueries stand in a statement under the names `asker`, `grants`, `rights` and `own`, in this order.
"""

from __future__ import annotations

from studio.accounts.permissions import WORKSPACE

_READS = "permission IN ('READ', 'USE', 'EDIT', 'MANAGE')"
_DENIES = "permission = 'DENY'"
# What the grants say of everything. `denied`: the types that are denied as a whole, but to whom everything is allowed.
RIGHTS = f"""
    SELECT everything, otherwise, CASE WHEN everything THEN '{{}}' ELSE denied END AS denied FROM (
        SELECT a.is_superuser OR coalesce(bool_or(resource_type = 'workspace' AND permission = 'MANAGE'), false) AS everything,
               coalesce(bool_or({_READS}) FILTER (WHERE resource_type = 'workspace'), false)
               AND NOT coalesce(bool_or({_DENIES}) FILTER (WHERE resource_type = 'workspace'), false) AS otherwise,
               coalesce(array_agg(resource_type::text) FILTER (WHERE {_DENIES}), '{{}}') AS denied
        FROM asker a LEFT JOIN grants ON resource_pattern = '*'
        GROUP BY a.is_superuser
    ) AS all_of_them
"""  # noqa: S608 - constants
# What they say of each resource that they name.
OWN = f"""
    SELECT resource_type AS type, resource_pattern AS pattern, bool_or({_DENIES}) AS denied, bool_or({_READS}) AS reads
    FROM grants GROUP BY resource_type, resource_pattern
"""  # noqa: S608 - constants


def grants(*types: str) -> str:
    """The grants of who asks on resources of these types. None for an administrator, who needs none."""
    named = ", ".join(f"'{each}'" for each in types)
    return f"""
        SELECT granted.resource_type, granted.resource_pattern, granted.permission
        FROM asker a JOIN users ON users.username = a.username
        JOIN user_role_assignments held ON held.user_id = users.id
        JOIN roles ON roles.id = held.role_id AND roles.workspace = '{WORKSPACE}'
        JOIN role_permissions granted ON granted.role_id = roles.id
        WHERE NOT a.is_superuser AND granted.resource_type IN ({named})
    """  # noqa: S608 - constants


def judged(source: str, type: str, pattern: str) -> str:  # noqa: A002 - MLflow's word
    """What to select from, so that each row of the source stands beside what decides on it. Type and pattern are SQL."""
    return f"""
        {source} CROSS JOIN rights
        LEFT JOIN own ON own.type = {type} AND own.pattern = {pattern}
        LEFT JOIN own every ON every.type = {type} AND every.pattern = '*'
    """


def sees(condition: str = "true") -> str:
    """Whether a row that is judged may be seen. `condition`: what else must hold, but for whom everything is allowed."""
    return f"""(
        rights.everything OR {condition} AND NOT coalesce(own.denied, false) AND NOT coalesce(every.denied, false)
        AND CASE WHEN own.pattern IS NULL AND every.pattern IS NULL THEN rights.otherwise
            ELSE coalesce(own.reads, false) OR coalesce(every.reads, false) END
    )"""
