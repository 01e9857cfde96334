"""What the processes tell of themselves (studio.lib.heartbeat writes it), and what is measured now and then."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils.timezone import now


class Process(models.Model):
    """One process from its start to its end. A row whose `seen_at` grows old is of one that has died."""

    SILENT = timedelta(seconds=15)
    KEPT = timedelta(hours=24)

    name = models.CharField(max_length=20)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    run = models.CharField(max_length=16, blank=True, help_text="Of `up`, where that started it.")
    version = models.CharField(max_length=20)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    memory = models.BigIntegerField(
        default=0, help_text="Bytes: PSS of it and what it has started."
    )

    class Meta:
        indexes = [models.Index(fields=["name", "host"], name="process_name")]

    @property
    def alive(self) -> bool:
        return self.seen_at > now() - self.SILENT


class Failure(models.Model):
    """An error that a process has logged, without any value. The newest are kept."""

    KEPT = 200

    at = models.DateTimeField()
    process = models.CharField(max_length=20)
    host = models.CharField(max_length=255)
    route = models.CharField(max_length=200)
    kind = models.CharField(max_length=100)
    message = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]


class Window(models.Model):
    """How long the requests of five minutes took, as one process has seen it: per route count, longest, buckets."""

    KEPT = timedelta(hours=2)

    process = models.BigIntegerField()
    at = models.DateTimeField()
    routes = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["process", "at"], name="window_of_process")]


class Measure(models.Model):
    """What takes long to find out, and when it was found out."""

    name = models.CharField(max_length=50, primary_key=True)
    value = models.BigIntegerField()
    at = models.DateTimeField()
