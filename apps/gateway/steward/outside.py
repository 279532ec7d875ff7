"""What others see of a steward: figures for Prometheus on loopback, and its workers' state in Redis."""

import asyncio
import contextlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any

import redis.asyncio
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from apps.gateway import flights
from apps.gateway.plane.metrics import BUCKETS
from apps.gateway.steward.host import Host
from apps.gateway.steward.tally import tally
from apps.gateway.steward.workers import Child

log = structlog.get_logger(__name__)

PROCESSES = "gateway:processes"
RECALL = "gateway:recall"
STALE_SECONDS = 30
_PATIENCE = 1.0
# So long may other hosts take to give back what lies idle there.
ELSEWHERE_SECONDS = 2.0
_COUNTERS = {
    "requests": ("model", "outcome"),
    "refusals": ("code",),
    "tokens": ("model", "kind"),
    "engine_failures": ("replica",),
    "unmetered": ("model",),
}
_HISTOGRAMS = ("first_byte_seconds", "between_seconds", "duration_seconds")


class Outside:
    """The steward's face. `called_back` is told when another steward is short of a team's money."""

    def __init__(self, host: Host, called_back: Callable[[str], Awaitable[None]]):
        self._host, self._called_back = host, called_back
        self._server: asyncio.Server | None = None
        self._counted: Counter[str] = Counter()  # of workers that are no more
        self._seen: dict[str, dict[str, float]] = {}
        self.port = 0
        self._name = token_hex(8)
        self._redis = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE
        )
        self._listening: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, settings.GATEWAY_ADMIN_HOST, settings.GATEWAY_ADMIN_PORT
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        for task in (self._listening, *self._tasks):
            if task is not None:
                task.cancel()
        if self._server is not None:
            self._server.close()
        await self._redis.aclose()

    # Redis.

    async def publish(self) -> None:
        """Tell how the workers are; whoever shows it leaves out what is old."""
        told: dict[Any, Any] = {
            child.name: json.dumps(self._state_of(child)) for child in self._host.children
        }
        if not told:
            return
        try:
            await self._redis.hset(PROCESSES, mapping=told)
            for name, state in (await self._redis.hgetall(PROCESSES)).items():
                if time.time() - json.loads(state)["at"] > STALE_SECONDS:
                    await self._redis.hdel(PROCESSES, name)
        except (RedisError, OSError):
            return

    def _state_of(self, child: Child) -> dict[str, Any]:
        stats, host = child.stats, self._host
        return {
            "pid": child.process.pid,
            "host": child.name.rpartition("-")[0],
            "port": host.port,
            "snapshot_seconds": round(host.snapshot_seconds, 1),
            "database": host.has_database,
            "unsettled": child.account.folder.count(flights.CLOSED),
            "at": time.time(),
            "gauges": stats.gauges if stats else {},
            "replicas": stats.replicas if stats else {},
            "requests": _total(stats.counters, "requests") if stats else 0,
            "refusals": _total(stats.counters, "refusals") if stats else 0,
        }

    async def call_back_elsewhere(self, team_id: str) -> int:
        """Have the stewards of other hosts give the team's idle money back, and wait until they have; answers
        how many did in time."""
        number, answers = token_hex(8), asyncio.Semaphore(0)
        self._answers[number] = answers
        done = 0
        try:
            told = await self._redis.publish(RECALL, json.dumps([self._name, team_id, number]))
            async with asyncio.timeout(ELSEWHERE_SECONDS):
                for _other in range(told - 1):  # we hear it ourselves
                    await answers.acquire()
                    done += 1
        except (RedisError, OSError) as error:
            log.info("recall_not_answered", error=str(error))
        finally:
            del self._answers[number]
        return done

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, ValueError, TypeError):
                await asyncio.sleep(_PATIENCE)

    async def _hear(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(RECALL)
            while True:
                said = await channel.get_message(ignore_subscribe_messages=True, timeout=_PATIENCE)
                if said is not None:
                    self._heed(*json.loads(said["data"]))

    def _heed(self, sender: str, team_id: str, number: str) -> None:
        """A steward is short of money of the team; or, without one, has what it asked for by that number."""
        if not team_id and number in self._answers:
            self._answers[number].release()
        elif team_id and sender != self._name:
            task = asyncio.create_task(self._give_back(team_id, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give_back(self, team_id: str, number: str) -> None:
        await self._called_back(team_id)
        with contextlib.suppress(RedisError, OSError):
            await self._redis.publish(RECALL, json.dumps([self._name, "", number]))

    # HTTP, for Prometheus and health checks on this host.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
            status, body = self._answer(head)
            kind = b"application/json" if body[:1] == b"{" else b"text/plain; version=0.0.4; charset=utf-8"
            line = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            reason = {200: b"OK", 403: b"Forbidden", 404: b"Not Found", 503: b"Service Unavailable"}[status]
            writer.write(line % (status, reason, kind, len(body)) + body)
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> tuple[int, bytes]:
        target = head.split(b" ", 2)[1] if head.count(b" ") >= 2 else b""
        if target == b"/health":
            ready = bool(self._host.children) and self._host.is_supplied
            return (200, b"ok\n") if ready else (503, b"starting\n")
        if target == b"/readiness":
            told = self._host.readiness()
            return 503 if told["status"] == "not_ready" else 200, json.dumps(told).encode()
        if target != b"/metrics":
            return 404, b"not found\n"
        token = settings.METRICS_TOKEN.encode()
        lines = [line.partition(b":") for line in head.split(b"\r\n")]
        given = next((value.strip() for name, _, value in lines if name.lower() == b"authorization"), b"")
        if token and not hmac.compare_digest(given, b"Bearer " + token):
            return 403, b"forbidden\n"
        return 200, self.figures().encode()

    def figures(self) -> str:
        """All counters, of the workers that live and of those before them."""
        whole = Counter(self._counted)
        alive = {child.name: child.stats for child in self._host.children if child.stats}
        for name in [one for one in self._seen if one not in alive]:
            self._counted.update(self._seen.pop(name))
            whole = Counter(self._counted)
        for name, stats in alive.items():
            self._seen[name] = stats.counters
            whole.update(stats.counters)
        lines = [*_counters(whole), *_of_teams(tally.teams.copy()), *_histograms(whole)]
        lines += ["# TYPE hostedai_gateway_snapshot_seconds gauge"]
        lines += [f"hostedai_gateway_snapshot_seconds {self._host.snapshot_seconds:g}"]
        lines += ["# TYPE hostedai_gateway_settle_seconds_total counter"]
        lines += [f"hostedai_gateway_settle_seconds_total {tally.seconds:g}"]
        lines += ["# TYPE hostedai_gateway_unsettled gauge"]
        lines += [f"hostedai_gateway_unsettled {self._host.unsettled}"]
        for gauge in sorted({gauge for stats in alive.values() for gauge in stats.gauges}):
            lines.append(f"# TYPE hostedai_gateway_{gauge} gauge")
            for name, stats in sorted(alive.items()):
                lines.append(f'hostedai_gateway_{gauge}{{worker="{name}"}} {stats.gauges.get(gauge, 0):g}')
        lines.append("# TYPE hostedai_gateway_breaker_open gauge")
        for name, stats in sorted(alive.items()):
            for replica, state in sorted(stats.replicas.items()):
                is_open = int(state != "closed")
                labels = f'worker="{name}",replica="{replica}"'
                lines.append(f"hostedai_gateway_breaker_open{{{labels}}} {is_open}")
        return "\n".join([*lines, ""])


def _total(counters: dict[str, float], name: str) -> int:
    return int(sum(value for kind, value in counters.items() if kind.startswith(f"{name}|")))


def _counters(whole: Counter[str]) -> list[str]:
    lines = []
    for name, labels in _COUNTERS.items():
        lines.append(f"# TYPE hostedai_gateway_{name}_total counter")
        for kind, value in sorted(whole.items()):
            if kind.startswith(f"{name}|"):
                values = kind.partition("|")[2].rsplit(",", len(labels) - 1)
                shown = ",".join(f'{label}="{text}"' for label, text in zip(labels, values, strict=False))
                lines.append(f"hostedai_gateway_{name}_total{{{shown}}} {value:g}")
    return lines


def _of_teams(teams: Counter[tuple[str, str]]) -> list[str]:
    lines = []
    for figure in ("team_requests", "team_tokens"):
        lines.append(f"# TYPE hostedai_gateway_{figure}_total counter")
        for (name, team), value in sorted(teams.items()):
            if name == figure:
                lines.append(f'hostedai_gateway_{figure}_total{{team="{team}"}} {value}')
    return lines


def _histograms(whole: Counter[str]) -> list[str]:
    """Buckets add up as they grow, as Prometheus has them."""
    lines = []
    for name in _HISTOGRAMS:
        lines.append(f"# TYPE hostedai_gateway_{name} histogram")
        models: dict[str, dict[str, float]] = {}
        for kind, value in whole.items():
            if kind.startswith(f"{name}_bucket|"):
                model, _comma, bucket = kind.partition("|")[2].rpartition(",")
                models.setdefault(model, {})[bucket] = value
        for model, buckets in sorted(models.items()):
            below = 0.0
            for bucket in (*map(str, BUCKETS), "+Inf"):
                below += buckets.get(bucket, 0.0)
                lines.append(f'hostedai_gateway_{name}_bucket{{model="{model}",le="{bucket}"}} {below:g}')
            lines.append(f'hostedai_gateway_{name}_count{{model="{model}"}} {below:g}')
            lines.append(f'hostedai_gateway_{name}_sum{{model="{model}"}} {whole[f"{name}_sum|{model}"]:g}')
    return lines
