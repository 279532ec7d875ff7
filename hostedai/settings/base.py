"""What all profiles share."""

from email.utils import parseaddr

from redis.backoff import NoBackoff
from redis.retry import Retry

from hostedai.settings.database import forget_scope
from hostedai.settings.env import BASE_DIR, VAR_DIR, env, master_keys, networks

DEBUG = False
SECRET_KEY = env.str("SECRET_KEY", default="")
MASTER_KEYS = master_keys(SECRET_KEY)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000")
# How many proxies stand in front and add to X-Forwarded-For; what callers write there is not heard.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
INSTALLATION_ID = env.str("INSTALLATION_ID", default="hostedai")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "django_filters",
    "django_htmx",
    "django_cotton.apps.SimpleAppConfig",
    "template_partials.apps.SimpleAppConfig",
    "pgtrigger",
    "apps.core",
    "apps.audit",
    "apps.users",
    "apps.teams",
    "apps.operations",
    "apps.billing",
    "apps.invoicing",
    "apps.payments",
    "apps.policies",
    "apps.regions",
    "apps.nodes",
    "apps.catalog",
    "apps.storage",
    "apps.networks",
    "apps.gpupools",
    "apps.instances",
    "apps.registry",
    "apps.inference",
    "apps.gateway",
    "apps.api",
    "apps.panels",
]

MIDDLEWARE = [
    "hostedai.middleware.RequestIdMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "hostedai.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "hostedai.middleware.ActorMiddleware",
]

ROOT_URLCONF = "hostedai.urls"
WSGI_APPLICATION = "hostedai.wsgi.application"
ASGI_APPLICATION = "hostedai.asgi.application"

_LOADERS = [
    "django_cotton.cotton_loader.Loader",
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
_CACHED = [("django.template.loaders.cached.Loader", _LOADERS)]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
            "builtins": [
                "django_cotton.templatetags.cotton",
                "template_partials.templatetags.partials",
                "django.templatetags.i18n",
                "django.templatetags.static",
            ],
            "loaders": [("template_partials.loader.Loader", _CACHED)],
        },
    }
]

# Row security decides by a setting of the connection: the portal starts with nothing and gets each
# request's scope, workers and commands start with everything (`DB_SCOPE=*`).
DB_SCOPE = env.str("DB_SCOPE", default="")
DATABASES = {"default": env.db("DATABASE_URL", default="postgres://hostedai@127.0.0.1:5432/hostedai")}
DATABASES["default"] |= {
    "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE", default=60),
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        "options": f"-c hostedai.teams={DB_SCOPE} -c timezone=UTC"
        " -c lock_timeout=20s -c statement_timeout=60s"
        # A process that hangs inside a transaction must not hold its locks for ever.
        f" -c idle_in_transaction_session_timeout={env.str('DB_IDLE_IN_TRANSACTION', default='60s')}",
        "connect_timeout": 5,
        # Only cursors that ask for it prepare; 0 is for a pooler that mixes sessions.
        "prepare_threshold": 5 if (DATABASE_PREPARE := env.bool("DATABASE_PREPARE", default=True)) else None,
    },
}
if pool_size := env.int("DATABASE_POOL", default=0):
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 2, "max_size": pool_size, "reset": forget_scope}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "hostedai.cache.SteadyCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 1)},
    }
}
# A libvirt for the region `local`, when there is one.
LIBVIRT_URI = env.str("HOSTEDAI_LIBVIRT_URI", default="")
LIBVIRT_NETWORK = env.str("HOSTEDAI_LIBVIRT_NETWORK", default="default")
LIBVIRT_STORAGE = env.str("HOSTEDAI_LIBVIRT_STORAGE", default="/var/lib/hostedai/libvirt")
S3_ENDPOINT_URL = env.str("S3_ENDPOINT_URL", default="")
S3_ACCESS_KEY = env.str("S3_ACCESS_KEY", default="")
S3_SECRET_KEY = env.str("S3_SECRET_KEY", default="")
S3_BUCKET = env.str("S3_BUCKET", default="hostedai")
S3_REGION = env.str("S3_REGION", default="us-east-1")
# The endpoint as customers reach it, where that is another one than the portal's.
S3_PUBLIC_ENDPOINT_URL = env.str("S3_PUBLIC_ENDPOINT_URL", default="")
# Browsers upload straight to the store when its CORS rules let them; else through the portal, which streams.
S3_BROWSER_UPLOADS = env.bool("S3_BROWSER_UPLOADS", default=False)
# How much of the store the models of one team may take.
MODEL_STORE_GIB = env.int("MODEL_STORE_GIB", default=4096)
# Where models are imported from: the provider's choice, never a customer's.
HUB_ENDPOINT_URL = env.str("HUB_ENDPOINT_URL", default="https://huggingface.co")
HUB_TOKEN = env.str("HUB_TOKEN", default="")
# Networks beside the internet in which external providers may stand (`10.0.0.0/8`); there TLS is optional.
PROVIDER_NETWORKS = networks("PROVIDER_NETWORKS")
# … and in which customers may have webhooks: whoever may make one can have requests sent there.
WEBHOOK_NETWORKS = networks("WEBHOOK_NETWORKS")

# Without its keys Stripe is not offered; the address is another one only in tests.
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_API_URL = env.str("STRIPE_API_URL", default="")
FAKE_PAYMENTS = env.bool("FAKE_PAYMENTS", default=False)
# What may go back of one payment without a second person, by currency; nothing of one that is not named.
REFUND_APPROVAL_ABOVE = env.dict(
    "REFUND_APPROVAL_ABOVE",
    default={"EUR": "500", "USD": "500", "GBP": "500", "CHF": "500", "JPY": "80000", "KWD": "150"},
)

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "apps.panels.account.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "apps.panels.account.forms.SignupForm",
    "user_token": "apps.panels.account.forms.UserTokenForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[hostedai] "
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "hostedai"
MFA_TOTP_TOLERANCE = 1
STAFF_MFA_REQUIRED = False
# The middleware notes activity itself, once a minute and not at every request.
USERSESSIONS_TRACK_ACTIVITY = False

SESSION_ENGINE = "django.contrib.sessions.backends.db"
# Seconds without activity, and seconds in all, after which one signs in anew.
SESSION_LIMITS = (12 * 3600, 7 * 86_400)
STAFF_SESSION_LIMITS = (30 * 60, 8 * 3600)
SESSION_NOTED_EVERY = 60
SESSION_COOKIE_AGE = SESSION_LIMITS[1]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'"
)

RECORDINGS_DIR = VAR_DIR / "recordings"

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
EMAIL_TIMEOUT = 20  # seconds; a row is locked while its mail is on the way
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="hostedai <no-reply@localhost>")
SERVER_EMAIL = parseaddr(DEFAULT_FROM_EMAIL)[1]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English (United States)"), ("en-gb", "English (United Kingdom)")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.api.errors.handle",
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": None,
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "hostedai.logs.formatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    # It names every address in full, and signed ones are as good as keys.
    "loggers": {"httpx": {"level": "WARNING"}, "httpx2": {"level": "WARNING"}},
}

METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# The gateway: where it listens, how many workers (0: one per core), on how many hosts.
GATEWAY_HOST = env.str("GATEWAY_HOST", default="127.0.0.1")
GATEWAY_PORT = env.int("GATEWAY_PORT", default=8001)
GATEWAY_ADMIN_HOST = env.str("GATEWAY_ADMIN_HOST", default="127.0.0.1")
GATEWAY_ADMIN_PORT = env.int("GATEWAY_ADMIN_PORT", default=0)
GATEWAY_WORKERS = env.int("GATEWAY_WORKERS", default=0)
GATEWAY_HOSTS = env.int("GATEWAY_HOSTS", default=1)
GATEWAY_REGION = env.str("GATEWAY_REGION", default="")
# So many teams have figures of their own in Prometheus.
GATEWAY_METRICS_TEAMS = env.int("GATEWAY_METRICS_TEAMS", default=50)
GATEWAY_DIR = env.str("GATEWAY_DIR", default=str(VAR_DIR / "gateway"))
# How long a caller may take to say what it wants, and how long a stopping worker finishes what it has begun.
GATEWAY_HEAD_SECONDS = env.float("GATEWAY_HEAD_SECONDS", default=10.0)
GATEWAY_STOP_SECONDS = env.float("GATEWAY_STOP_SECONDS", default=20.0)
# When Redis cannot count: each worker its share of the limits ("share"), all pass ("open"), none ("closed").
GATEWAY_WITHOUT_REDIS = env.str("GATEWAY_WITHOUT_REDIS", default="share")
GATEWAY_LIMIT_SECONDS = env.float("GATEWAY_LIMIT_SECONDS", default=60.0)
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = [
    *("authorization", "content-type", "idempotency-key", "if-match", "if-none-match"),
    *("last-event-id", "x-request-id"),
]
CORS_EXPOSE_HEADERS = ["ETag", "Location", "RateLimit-Remaining", "Retry-After", "X-Request-Id"]

# Requests of one key or person: so many a second, so many at once. A rate of 0 counts nothing.
API_RATE_PER_SECOND = env.float("API_RATE_PER_SECOND", default=50.0)
API_RATE_BURST = env.int("API_RATE_BURST", default=300)
# Requests from one address that do not say, or say wrongly, whose they are.
API_UNKNOWN_RATE_PER_SECOND = env.float("API_UNKNOWN_RATE_PER_SECOND", default=5.0)
API_UNKNOWN_RATE_BURST = env.int("API_UNKNOWN_RATE_BURST", default=60)
API_RATE_PATIENCE_SECONDS = 0.2  # how long Redis may take to count

# How often the agent of a node reports.
NODE_HEARTBEAT_SECONDS = env.float("NODE_HEARTBEAT_SECONDS", default=10.0)

SPECTACULAR_SETTINGS = {
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "POSTPROCESSING_HOOKS": [],
    "COMPONENT_SPLIT_REQUEST": False,
    "SCHEMA_COERCE_PATH_PK": False,
    "SORT_OPERATION_PARAMETERS": False,
    # Each audience has a document of its own; Django's check would read all three as one.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}
