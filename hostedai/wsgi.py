"""For servers without ASGI; event streams and terminals need the other one."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")

application = get_wsgi_application()
