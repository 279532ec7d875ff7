"""The suite's profile: real PostgreSQL and Redis, cheap password hashing, mail in memory."""

from hostedai.settings.base import *  # noqa: F403
from hostedai.settings.base import DATABASES
from hostedai.settings.env import master_keys

SECRET_KEY = "test-only-secret-key-that-protects-nothing"  # noqa: S105 - not a secret
MASTER_KEYS = master_keys(SECRET_KEY)
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PROVIDER_NETWORKS = WEBHOOK_NETWORKS = ["127.0.0.0/8"]
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
API_RATE_PER_SECOND = 0.0
API_UNKNOWN_RATE_PER_SECOND = 0.0
API_RATE_PATIENCE_SECONDS = 30.0
# Counted in Redis by address: tests would run into one another. The test of the limits sets its own.
ACCOUNT_RATE_LIMITS = False
MFA_RATE_LIMITS = False
# A test may look at a browser for longer than a worker may hang.
DATABASES["default"]["OPTIONS"]["options"] += " -c idle_in_transaction_session_timeout=0"
