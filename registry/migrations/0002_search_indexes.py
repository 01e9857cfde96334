"""Indexes on MLflow's tables, for searches of versions: the one changed last first, as MLflow has them, by run, and by tag."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]
    operations = [
        migrations.RunSQL(
            "CREATE INDEX studio_versions_by_update"
            " ON model_versions (workspace, last_updated_time DESC, name, version DESC)",
            "DROP INDEX studio_versions_by_update",
        ),
        migrations.RunSQL(
            "CREATE INDEX studio_versions_by_run ON model_versions (run_id)",
            "DROP INDEX studio_versions_by_run",
        ),
        # Of the beginnings of values: an index has no room for the longest.
        migrations.RunSQL(
            "CREATE INDEX studio_version_tags_by_value ON model_version_tags (key, left(value, 64))",
            "DROP INDEX studio_version_tags_by_value",
        ),
    ]
