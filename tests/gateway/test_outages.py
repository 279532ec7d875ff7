"""Redis and PostgreSQL go and come while requests flow: they go on, and all is exact again afterwards."""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection
from redis import Redis

from apps.billing.models import TokenRequest
from apps.core.actor import SYSTEM
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.teams.models import ApiKey
from runner.paths import private_folder
from runner.valkey import Valkey
from tests.factories.teams import key_of
from tests.gateway import engine as engines
from tests.gateway.stage import Gateway, Stage, gateway, make_stage, until
from tests.gateway.test_limits import ask_all
from tests.gateway.test_money import give_back

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


class Door:
    """The way to PostgreSQL: it can be shut, which breaks every connection and takes no more."""

    def __init__(self, host: str, port: int):
        self._to = (host, port)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_shut = False
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self._ready = threading.Event()

    def __enter__(self) -> "Door":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_error: object) -> None:
        self.shut()
        assert self._server is not None
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def shut(self) -> None:
        done = threading.Event()

        def end() -> None:
            self._is_shut = True
            for writer in list(self._writers):
                writer.transport.abort()
            done.set()

        self._loop.call_soon_threadsafe(end)
        assert done.wait(60)

    def open(self) -> None:
        self._is_shut = False

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_shut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._to)
        pair = {writer, back}
        self._writers |= pair
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._writers -= pair

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextmanager
def flowing(stage: Stage, found: Counter[int], count: int = 80) -> Iterator[None]:
    """Requests are under way in the block, and all have been answered after it."""

    def ask(_number: int) -> None:
        found[stage.post().status_code] += 1

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(ask, number) for number in range(count)]
        until(lambda: found.total(), "an answer")
        yield
        for call in calls:
            call.result()


def readiness(running: Gateway) -> dict[str, Any]:
    found = httpx.get(f"http://127.0.0.1:{running.state['admin_port']}/readiness", timeout=60, verify=False)
    told: dict[str, Any] = found.json()
    assert found.status_code == (503 if told["status"] == "not_ready" else 200)
    return told


def becomes(running: Gateway, **wanted: str) -> None:
    until(lambda: readiness(running).items() >= wanted.items(), f"{wanted}")


def test_redis_and_postgresql_go_and_come(folder: Path, transactional_db: None):
    redis = Valkey(private_folder(folder / "valkey"), password="secret", dies_by_us=True)
    identity = redis.start()
    at = connection.settings_dict
    try:
        with (
            engines.running() as engine,
            Door(at["HOST"], int(at["PORT"])) as door,
            gateway(
                folder,
                REDIS_URL=redis.url(),
                DATABASE_URL=f"postgres://{at['USER']}:{at['PASSWORD']}@127.0.0.1:{door.port}/{at['NAME']}",
            ) as running,
        ):
            stage = make_stage(running, engine.url)
            tight = key_of(stage.team, "inference:use")
            limits.set_key(actor=SYSTEM, key=tight.key, limits=Limits(7, None))
            stage.add(engine.url)
            stage.ready()
            becomes(running, status="ready", redis="ok", postgresql="ok")
            exactly = {(200, ""): 7, (429, "key"): 5}
            found = Counter[int]()
            with flowing(stage, found):
                os.kill(identity.pid, signal.SIGKILL)
            becomes(running, status="degraded", redis="away")
            # This worker's share is all of it, for it is the only one.
            assert ask_all(stage, [running.url], [tight.secret], 12) == exactly
            with flowing(stage, found):
                identity = redis.start(redis.port)
            becomes(running, status="ready", redis="ok")
            assert ask_all(stage, [running.url], [tight.secret], 12) == exactly
            with flowing(stage, found):
                door.shut()
            becomes(running, status="degraded", postgresql="away")
            assert stage.post().status_code == 200
            assert readiness(running)["spool"]["unsettled"] > 0
            with flowing(stage, found):
                door.open()
            becomes(running, status="ready", postgresql="ok")
            assert found == {200: 320}
            answered = 320 + 14 + 1
            rows = stage.settled(answered)
            assert {row.outcome for row in rows} == {"completed"}
            with Redis.from_url(redis.url()) as client:
                give_back(stage, client)
            assert TokenRequest.objects.filter(team_id=stage.team.pk).count() == answered
            # Keys that were used say so, within a second or two and not with every request.
            until(lambda: ApiKey.objects.get(pk=stage.key.pk).last_used_at, "the key's last use")
            figures = running.figures()
            assert f'hostedai_gateway_team_requests_total{{team="{stage.team.pk}"}} {answered}' in figures
    finally:
        with suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGKILL)
