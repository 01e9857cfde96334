"""How Studio is: its processes, what they hold and do, and what an administrator should look after.

An app of its own, since it has tables, and looks at every other app. The processes themselves write to its tables
without it (studio.lib.heartbeat): they know nothing of pages.
"""

from __future__ import annotations
