"""`manage.py poll`: runs periodic work and finds due rows, without Redis and without beat."""

import signal
import threading
from argparse import ArgumentParser
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType

import structlog
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection
from django.utils.module_loading import autodiscover_modules

from apps.operations.schedule import due_names, registry, run_due

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Run periodic work until told to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="run what is due now, then leave")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")

    def handle(self, *, once: bool, interval: float, **_options: object) -> None:
        autodiscover_modules("tasks")
        if once:
            run_due()
            return
        self._loop(interval)

    def _loop(self, interval: float) -> None:
        stopping = threading.Event()

        def stop(_signal: int, _frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        running: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(max_workers=max(len(registry), 1)) as threads:
            while not stopping.wait(interval):
                idle = [name for name in _due() if name not in running or running[name].done()]
                running |= {name: threads.submit(_run_one, name) for name in idle}


def _due() -> list[str]:
    """What to run; nothing while the database is away."""
    try:
        close_old_connections()
        return due_names()
    except DatabaseError as error:
        log.warning("poll_without_database", error=str(error))
        connection.close()
        return []


def _run_one(name: str) -> None:
    """One piece of work in a thread of its own, so that a slow one delays no other."""
    try:
        close_old_connections()
        run_due(name=name)
    except DatabaseError as error:
        log.warning("poll_without_database", name=name, error=str(error))
        connection.close()
    except Exception:
        log.exception("poll_failed", name=name)
