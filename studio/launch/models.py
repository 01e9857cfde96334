"""What the hosts of one Studio have in common, in the database that they share."""

from __future__ import annotations

from django.db import models


class Common(models.Model):
    """The one row that says which artifact store and which secret key all hosts use."""

    artifacts = models.CharField(
        max_length=1024, help_text="The id in the folder's id file, or an object store's address."
    )
    secret_key = models.CharField(max_length=64, help_text="A digest of it.")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="launch_common_one")]

    def __str__(self) -> str:
        return self.artifacts
