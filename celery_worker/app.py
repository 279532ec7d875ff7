"""Celery, configured by the same settings as the portal."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")

app = Celery("hostedai")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
