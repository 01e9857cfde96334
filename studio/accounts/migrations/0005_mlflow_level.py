"""The rule of `studio.accounts.permissions._MlflowLevel` as a function, which keeps its plan."""

from __future__ import annotations

from django.db import migrations

MAKE = """
CREATE FUNCTION studio_mlflow_level(asked_user text, asked_type text, asked_id text, asked_part text)
RETURNS integer LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN bool_or(granted.resource_type = 'workspace') THEN 4
            WHEN bool_or(granted.permission = 'DENY') FILTER (WHERE granted.resource_type = asked_type) THEN 0
            WHEN coalesce(max(granted.level) FILTER (WHERE granted.resource_type = asked_type), 0) = 0 THEN 0
            WHEN bool_or(granted.permission = 'DENY') FILTER (WHERE granted.resource_type = asked_part) THEN 0
            ELSE coalesce(max(granted.level) FILTER (WHERE granted.resource_type = asked_part), max(granted.level))
        END
        FROM (
            SELECT resource_type, permission,
                   coalesce(array_position(ARRAY['READ', 'USE', 'EDIT', 'MANAGE'], permission::text), 0) AS level
            FROM users
            JOIN user_role_assignments held ON held.user_id = users.id
            JOIN roles ON roles.id = held.role_id AND roles.workspace = 'default'
            JOIN role_permissions ON role_permissions.role_id = roles.id
            WHERE users.username = asked_user AND (
                resource_type = asked_type AND resource_pattern IN ('*', asked_id)
                OR resource_type = asked_part AND resource_pattern = '*'
                OR resource_type = 'workspace' AND resource_pattern = '*' AND permission = 'MANAGE'
            )
        ) granted
    );
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_password_links_and_attempts")]
    operations = [
        migrations.RunSQL(MAKE, "DROP FUNCTION studio_mlflow_level(text, text, text, text)")
    ]
