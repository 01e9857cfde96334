from __future__ import annotations

import os
from importlib import import_module
from threading import Thread

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
application = get_wsgi_application()
# Beside the first requests, so that the first search does not wait seconds for it.
Thread(target=import_module, args=["mlflow.utils.search_utils"], daemon=True).start()
