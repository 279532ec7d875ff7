"""Celery, configured by the same settings as the portal."""

import os

from celery import Celery

from celery_worker.queues import QUEUES, ROUTES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")

app = Celery("hostedai")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(task_queues=QUEUES, task_routes=ROUTES)
app.autodiscover_tasks()
