"""`manage.py gateway`: serves /v1 on all cores; see docs/gateway.md."""

import asyncio
import gc
import os
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.gateway import messages
from apps.gateway.proof import peer_token
from apps.gateway.steward.steward import Steward, free_port
from apps.gateway.steward.workers import Terms


class Command(BaseCommand):
    help = "Serve /v1: keeps one worker per core, tells them what changes, settles what they report."
    requires_system_checks: ClassVar[list[str]] = []  # the portal's pages are no business of the data plane

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=settings.GATEWAY_HOST)
        parser.add_argument("--port", type=int, default=settings.GATEWAY_PORT, help="0: any that is free")
        parser.add_argument("--workers", type=int, default=settings.GATEWAY_WORKERS, help="0: one per core")
        parser.add_argument(
            "--state-file", type=Path, help="written when ready: ports and processes, as JSON"
        )

    def handle(
        self, *, host: str, port: int, workers: int, state_file: Path | None, **_options: object
    ) -> None:
        shared, keeper = free_port(host, port)
        terms = Terms(
            root=Path(settings.GATEWAY_DIR),
            host=host,
            port=shared,
            redis_url=settings.REDIS_URL,
            region=settings.GATEWAY_REGION,
            peer_token=peer_token(settings.SECRET_KEY),
            trusted_proxies=settings.TRUSTED_PROXY_COUNT,
            stop_seconds=settings.GATEWAY_STOP_SECONDS,
            head_seconds=settings.GATEWAY_HEAD_SECONDS,
        )
        count = workers or os.cpu_count() or 1
        policy = messages.Policy(
            settings.GATEWAY_WITHOUT_REDIS,
            count * settings.GATEWAY_HOSTS,
            int(settings.GATEWAY_LIMIT_SECONDS * 1000),
        )
        with keeper:
            asyncio.run(_run(Steward(terms, policy, count, state_file)))


async def _run(steward: Steward) -> None:
    loop = asyncio.get_running_loop()
    # What is there now stays: looking through all of Django again and again cost a fifth of settling.
    gc.collect()
    gc.freeze()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, steward.stopping.set)
    await steward.run()
