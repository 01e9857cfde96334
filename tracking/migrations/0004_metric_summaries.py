"""Summaries of metrics, and a trigger on MLflow's `metrics` that tells which runs have points that they may lack.

tracking/summaries.py says why it is right. The one trigger does two things in turn for each run, each with a snapshot of its
own: it locks what a summariser would lock, then it looks whether the run is marked, and else marks it. Where all of a
transaction sees one moment (REPEATABLE READ) it cannot look, and marks it anyway. Whoever else writes to the database may have no rights on Studio's tables: it runs as their owner, who looks for no table in
anybody's temporary schema.
"""

import django.db.models.deletion
from django.db import migrations, models

# From here to the end of this migration, and in the function for good.
PATH = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
FUNCTION = """
CREATE FUNCTION studio_mark_stale() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    wrote record;
BEGIN
    FOR wrote IN SELECT DISTINCT run_uuid FROM written LOOP
        PERFORM pg_advisory_xact_lock_shared(1937012077, hashtext(wrote.run_uuid) & 63);
        IF NOT EXISTS (SELECT FROM tracking_stalerun s WHERE s.run_id = wrote.run_uuid AND NOT s.taken)
        OR current_setting('transaction_isolation') <> 'read committed' THEN
            INSERT INTO tracking_stalerun (run_id, since, taken) VALUES (wrote.run_uuid, clock_timestamp(), false);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER studio_metrics_written AFTER INSERT ON metrics
REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION studio_mark_stale()
"""
# The trigger keeps writers out until this is committed: what is written earlier is seen here, what is later marks itself.
ADOPT = """
INSERT INTO tracking_stalerun (run_id, since, taken)
SELECT run_uuid, now(), false FROM runs WHERE EXISTS (SELECT FROM metrics m WHERE m.run_uuid = runs.run_uuid)
"""


def with_its_run(table):
    """A row goes with its run, also where `mlflow gc` deletes that."""
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD FOREIGN KEY (run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE",
        migrations.RunSQL.noop,
    )


class Migration(migrations.Migration):
    dependencies = [('tracking', '0003_search_indexes')]

    operations = [
        migrations.CreateModel(
            name='MetricSummary',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'key', blank=True, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=250)),
                ('count', models.BigIntegerField()),
                ('minimum', models.FloatField(null=True)),
                ('minimum_step', models.BigIntegerField(null=True)),
                ('maximum', models.FloatField(null=True)),
                ('maximum_step', models.BigIntegerField(null=True)),
                ('first', models.FloatField()),
                ('first_step', models.BigIntegerField()),
                ('first_is_nan', models.BooleanField()),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='tracking.run')),
            ],
            options={
                'indexes': [models.Index(fields=['key', 'minimum'], name='metric_summary_by_minimum'), models.Index(fields=['key', 'maximum'], name='metric_summary_by_maximum')],
            },
        ),
        migrations.CreateModel(
            name='StaleRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField()),
                ('taken', models.BooleanField(default=False)),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='tracking.run')),
            ],
            options={
                'indexes': [models.Index(fields=['run'], name='stale_run_by_run')],
            },
        ),
        with_its_run('tracking_metricsummary'),
        with_its_run('tracking_stalerun'),
        migrations.RunSQL(PATH, migrations.RunSQL.noop),
        migrations.RunSQL(FUNCTION, 'DROP FUNCTION studio_mark_stale'),
        migrations.RunSQL(TRIGGER, 'DROP TRIGGER studio_metrics_written ON metrics'),
        migrations.RunSQL(ADOPT, migrations.RunSQL.noop),
    ]
