"""Stands in for the model server where the tests are of who starts and ends it."""

from __future__ import annotations
