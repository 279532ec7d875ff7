"""The Cluster plane's workers."""

from celery_worker.app import app

__all__ = ["app"]
