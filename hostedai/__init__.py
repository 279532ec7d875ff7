"""Importing the project sets Celery up, so that the portal can send hints."""

from celery_worker.app import app as celery_app

__all__ = ["celery_app"]
