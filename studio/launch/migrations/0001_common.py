from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Common",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "artifacts",
                    models.CharField(
                        help_text="The id in the folder's id file, or an object store's address.",
                        max_length=1024,
                    ),
                ),
                ("secret_key", models.CharField(help_text="A digest of it.", max_length=64)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="launch_common_one"
                    )
                ],
            },
        ),
    ]
