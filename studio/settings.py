"""One settings file. What an administrator may change is read with env_*; docs/settings.md explains each."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from studio.lib import database, redis
from studio.lib.env import (
    env_artifacts,
    env_bool,
    env_choice,
    env_folder,
    env_gigabytes,
    env_host,
    env_hosts,
    env_networks,
    env_port,
    env_secret,
    env_site,
    env_text,
    env_url,
    refuse_unknown,
)
from studio.lib.home import Home, default_home, kept_secret
from studio.lib.secrets import derive

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

HOME = Home(env_folder("STUDIO_HOME", default_home()))
BIND = env_host("STUDIO_BIND", "127.0.0.1")
PORT = env_port("STUDIO_PORT", 8000)
SCORING_PORT = env_port("STUDIO_SCORING_PORT", 8001)
_LOCAL = "127.0.0.1" if BIND in ("0.0.0.0", "::") else f"[{BIND}]" if ":" in BIND else BIND  # noqa: S104 - compared, not bound
# Where Studio's own processes reach web and gateway, whatever the public addresses are.
WEB_ADDRESS, SCORING_ADDRESS = f"{_LOCAL}:{PORT}", f"{_LOCAL}:{SCORING_PORT}"
PUBLIC_URL = env_site("STUDIO_PUBLIC_URL", f"http://{WEB_ADDRESS}")
SCORING_URL = env_site("STUDIO_SCORING_URL", f"http://{SCORING_ADDRESS}", path=True)
# Where a web host without a gateway of its own reaches it. Empty: on this host, at SCORING_ADDRESS.
GATEWAY_URL = env_site("STUDIO_GATEWAY_URL", "")
ADMIN_USERNAME = env_text("STUDIO_ADMIN_USERNAME", "admin")
ADMIN_PASSWORD = env_text("STUDIO_ADMIN_PASSWORD")
ARTIFACTS = env_artifacts("STUDIO_ARTIFACTS", HOME.artifacts)
ENVIRONMENTS_BYTES = env_gigabytes("STUDIO_ENVIRONMENTS_GB", 20)
LOG_FORMAT = env_choice("STUDIO_LOG_FORMAT", ("text", "json"))
# Whose X-Forwarded-* headers count: nobody's else do.
TRUSTED_PROXIES = env_networks("STUDIO_TRUSTED_PROXIES")
METRICS_TOKEN = env_secret("STUDIO_METRICS_TOKEN", least=16)
WORKSPACES = env_bool("STUDIO_WORKSPACES", default=False)
SECRET_KEY = env_secret("STUDIO_SECRET_KEY", least=32)
DATABASE_URL = env_url("DATABASE_URL", "", ("postgresql", "postgres"))
REDIS_URL = env_url("REDIS_URL", "", ("redis", "rediss", "unix"))
_HOSTS = env_hosts("STUDIO_ALLOWED_HOSTS")

# All are read. What cannot go together is refused before anything is made in STUDIO_HOME.
refuse_unknown()
if PORT == SCORING_PORT:
    raise ImproperlyConfigured(
        f"STUDIO_PORT and STUDIO_SCORING_PORT are both {PORT}: give web and scoring a port each"
    )
if WORKSPACES:
    raise ImproperlyConfigured(
        "STUDIO_WORKSPACES='true': this version knows one workspace, `default`. "
        "Write false, or leave it out"
    )

SECRET_KEY = SECRET_KEY or kept_secret(HOME, "secret-key")
IDENTITY_KEY = derive(SECRET_KEY, "mlflow identity")
# This machine's own always: by them Studio asks itself how it is. No page from elsewhere comes by such a name.
_NAMES = {_LOCAL.strip("[]"), "localhost", "127.0.0.1", "::1"} | (
    {name.strip("[]") for name in _HOSTS}
    or {urlsplit(url).hostname or "" for url in (PUBLIC_URL, SCORING_URL)}
)
ALLOWED_HOSTS = sorted(f"[{name}]" if ":" in name else name for name in _NAMES)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "studio.http.csrf_failure"

POSTGRES_EMBEDDED = not DATABASE_URL
if POSTGRES_EMBEDDED:
    DATABASE_URL = database.embedded_url(
        HOME.postgres_socket, "studio", kept_secret(HOME, "postgres-password"), "studio"
    )
DATABASE_URL = database.with_patience(DATABASE_URL)
DATABASES = {"default": database.django_database(DATABASE_URL)}
# A connection that PostgreSQL has closed, at its restart say, is replaced before it is used.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["OPTIONS"]["pool"] = {
    "min_size": 1,
    "max_size": 20,
    "timeout": 10,
    # The pool doubles its pauses for so long and then begins anew at the next request: with its usual five
    # minutes a database that is back after one would be found after two.
    "reconnect_timeout": 2,
    "reconnect_failed": database.tell_who_waits,
}

REDIS_EMBEDDED = not REDIS_URL
if REDIS_EMBEDDED:
    REDIS_URL = redis.embedded_url(HOME.redis_socket, kept_secret(HOME, "redis-password"))
redis.refuse_unreadable(REDIS_URL)

INSTALLED_APPS = [
    "studio.launch",
    "studio.backup",
    "studio.health",
    "studio.mlflow",
    "studio.accounts",
    "tracking",
    "registry",
    "endpoints",
    "studio.importing",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_htmx",
    "lucide",
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "studio.health.middleware.Observed",
    "studio.lib.proxies.ForwardedHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "studio.http.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "studio.accounts.middleware.Credentials",
    "studio.accounts.middleware.SignInRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "studio.http.Errors",
]
ROOT_URLCONF = "studio.urls"
WSGI_APPLICATION = "studio.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["studio.templatetags.studio", "lucide.templatetags.lucide"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "studio.context.shell",
            ],
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["studio.accounts.credentials.Passwords"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:login"

# Cookies are shared by every port of a host: each Studio on it has names of its own. By the public port, so
# that all web processes behind one address have the same.
_PUBLIC = urlsplit(PUBLIC_URL)
_PUBLIC_PORT = _PUBLIC.port or {"http": 80, "https": 443}[_PUBLIC.scheme]
SESSION_COOKIE_NAME = f"studio_session_{_PUBLIC_PORT}"
CSRF_COOKIE_NAME = f"studio_csrf_{_PUBLIC_PORT}"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
# Of a form, the Test tab's among them. Artifacts and predictions do not come as forms.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
SECURE_REFERRER_POLICY = "same-origin"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = HOME.static
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "studio.static.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "studio.static.Storage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["studio.accounts.authentication.StudioAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["studio.lib.api.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "studio.lib.api.api_error",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Studio",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    # A PATCH takes what its serializer says, not all of it as if it were optional.
    "COMPONENT_SPLIT_PATCH": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "studio.lib.api.describe_rules",
    ],
}

CELERY_BROKER_URL = redis.celery_url(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = (
    None  # for as long as it takes: nobody is there to start it again
)
# A broker that is away is not waited for: the sweep finds the rows once it is back.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "socket_keepalive_options": redis.KEEPALIVE,
    "max_retries": 0,
}
CELERY_TIMEZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "studio.lib.logs.TextLine"},
        "json": {"()": "studio.lib.logs.JsonLine"},
    },
    "handlers": {
        "null": {"class": "logging.NullHandler"},
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT},
        "kept": {"class": "studio.lib.logs.Keep", "level": "ERROR"},
    },
    "root": {"handlers": ["stderr", "kept"], "level": "INFO"},
    "loggers": {
        "mlflow": {"level": "WARNING"},
        "alembic": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # Requests that Django refuses. Anyone can send them: kept, they would wash out the errors that matter.
        "django.security": {"handlers": ["stderr"], "propagate": False},
        "django.security.DisallowedHost": {"handlers": ["null"], "propagate": False},
        # Each attempt of the pool while the database is away: who needed a connection is told, and says so.
        "psycopg.pool": {"level": "ERROR"},
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
    },
}
