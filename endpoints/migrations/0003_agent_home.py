from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("endpoints", "0002_replicas_and_memory")]

    operations = [
        migrations.AddField(
            model_name="agent",
            name="home",
            field=models.CharField(
                blank=True, default="", help_text="The id of its STUDIO_HOME.", max_length=64
            ),
            preserve_default=False,
        ),
    ]
