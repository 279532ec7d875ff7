"""One machine, plain HTTP on loopback, mail into files."""

from hostedai.settings.base import *  # noqa: F403
from hostedai.settings.base import MASTER_KEYS, SECRET_KEY
from hostedai.settings.env import VAR_DIR, env, master_keys, networks

SECRET_KEY = SECRET_KEY or "development-only-secret-key-that-protects-nothing"
MASTER_KEYS = MASTER_KEYS if env.str("SECRET_KEY", default="") else master_keys(SECRET_KEY)
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = VAR_DIR / "mail"
PROVIDER_NETWORKS = networks("PROVIDER_NETWORKS", ["127.0.0.0/8"])
WEBHOOK_NETWORKS = networks("WEBHOOK_NETWORKS", ["127.0.0.0/8"])
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
FAKE_PAYMENTS = env.bool("FAKE_PAYMENTS", default=True)
