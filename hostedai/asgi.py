"""The portal as gunicorn serves it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")

application = get_asgi_application()
