"""Indexes on MLflow's tables, for a page of an experiment's runs: by start, by a metric's last value, by a param or tag."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tracking", "0002_run_activity")]
    operations = [
        migrations.RunSQL(
            "CREATE INDEX studio_runs_by_start"
            " ON runs (experiment_id, lifecycle_stage, start_time DESC, run_uuid)",
            "DROP INDEX studio_runs_by_start",
        ),
        migrations.RunSQL(
            "CREATE INDEX studio_latest_metrics_by_value ON latest_metrics (key, value) WHERE NOT is_nan",
            "DROP INDEX studio_latest_metrics_by_value",
        ),
        # Of the beginnings of values: an index has no room for the longest.
        migrations.RunSQL(
            "CREATE INDEX studio_params_by_value ON params (key, left(value, 64))",
            "DROP INDEX studio_params_by_value",
        ),
        migrations.RunSQL(
            "CREATE INDEX studio_tags_by_value ON tags (key, left(value, 64))",
            "DROP INDEX studio_tags_by_value",
        ),
    ]
