"""Celery, configured by the same settings as the portal."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections

from celery_worker.queues import QUEUES, ROUTES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")

# A connection serves many tasks: making one costs the database more than most tasks do.
TASKS_PER_CONNECTION = 1000

app = Celery("hostedai")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(task_queues=QUEUES, task_routes=ROUTES, CELERY_DB_REUSE_MAX=TASKS_PER_CONNECTION)
app.autodiscover_tasks()


@task_prerun.connect
def drop_dead_connections(**_kwargs: Any) -> None:
    """A connection that broke or grew old between two tasks is made anew."""
    close_old_connections()
