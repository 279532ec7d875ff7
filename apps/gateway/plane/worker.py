"""The worker's process: opens its door, hears the steward, looks around every second, leaves in peace."""

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from apps.gateway import messages
from apps.gateway.flights import Spool
from apps.gateway.messages import AnyMessage
from apps.gateway.plane import limits, pages
from apps.gateway.plane.client import Client
from apps.gateway.plane.link import Link
from apps.gateway.plane.plane import Plane
from apps.gateway.plane.redis import Redis, command
from apps.gateway.plane.tellers import IDLE_SECONDS

log = logging.getLogger(__name__)

LOAD_SECONDS = 30
BACKLOG = 4096
# A request leaves no cycles behind: looking for some after each batch finds nothing.
GARBAGE = 50_000


class Orders(msgspec.Struct):
    """What a worker is told at birth, as JSON on its standard input."""

    name: str
    host: str
    port: int
    folder: str
    redis_url: str
    region: str
    peer_token: str
    trusted_proxies: int
    file: int
    stop_seconds: float
    head_seconds: float


class Worker:
    """One process."""

    def __init__(self, orders: Orders, loop: asyncio.AbstractEventLoop):
        self.orders, self.loop = orders, loop
        link = Link()
        redis = Redis(orders.redis_url, loop, limits.GREETING)
        self.plane = Plane(loop, redis, Spool(Path(orders.folder)), link)
        self.plane.tables.region, self.plane.peer_token = orders.region, orders.peer_token.encode()
        self.plane.trusted_proxies, self.plane.head_seconds = orders.trusted_proxies, orders.head_seconds
        self.link = link
        self.stopping = asyncio.Event()
        self._seen: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Serve until told to stop, or until the steward is gone."""
        self.link.taken = self.take
        await self.link.open(self.orders.file)
        redis = self.loop.create_task(self.plane.redis.run())
        looking = self.loop.create_task(self._look_for_ever())
        server = await self.loop.create_server(
            lambda: Client(self.plane), sock=_door(self.orders), backlog=BACKLOG
        )
        for sign in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(sign, self.stopping.set)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        lost = self.loop.create_task(self.link.lost.wait())
        stop = self.loop.create_task(self.stopping.wait())
        await asyncio.wait({lost, stop}, return_when=asyncio.FIRST_COMPLETED)
        server.close()
        await self._finish()
        for task in (redis, looking, lost, stop):
            task.cancel()

    async def _finish(self) -> None:
        """Let what is under way end, within a while."""
        plane = self.plane
        plane.is_stopping = True
        deadline = self.loop.time() + self.orders.stop_seconds
        for client in list(plane.clients):
            client.retire()
        while plane.exchanges and self.loop.time() < deadline:
            await asyncio.sleep(0.05)
        for exchange in list(plane.exchanges):
            exchange.abandon()
        plane.tidy(idle_seconds=-1.0)
        plane.limiter.look()
        await asyncio.sleep(0.05)

    # What the steward says.

    def take(self, message: AnyMessage) -> None:
        plane = self.plane
        match message:
            case messages.Keys():
                plane.tables.take_keys(message)
                self._review()
            case messages.Routes():
                plane.tables.take_routes(message)
                self._review()
            case messages.Prices():
                plane.tables.take_prices(message)
            case messages.Policy():
                limiter = plane.limiter
                limiter.without_redis, limiter.sharers = message.without_redis, message.sharers
                limiter.window_ms = message.window_ms
            case messages.ReceiptFound():
                wanted = plane.receipts.pop(message.number, None)
                if wanted is not None:
                    pages.found(wanted[1], message.body)
            case _:
                self._take_money(message)

    def _take_money(self, message: AnyMessage) -> None:
        tellers = self.plane.tellers
        match message:
            case messages.Granted():
                teller = tellers.get((message.team_id, message.workspace_id, message.key_id))
                if teller is not None:
                    teller.granted(message)
            case messages.Renewed():
                for teller in tellers.values():
                    teller.renewed(message)
            case messages.Recall():
                mine = [teller for teller in tellers.values() if teller.purse[0] == message.team_id]
                kept = {lease: attos for teller in mine for lease, attos in teller.recall().items()}
                self.plane.send(messages.Recalled(message.team_id, kept))

    def _review(self) -> None:
        for exchange in list(self.plane.exchanges):
            exchange.review()
        for engine in self.plane.tables.engines.values():
            if engine.breaker.on_open is None:
                engine.breaker.on_open = lambda e=engine: self._sick(e.row.id)

    def _sick(self, replica_id: str) -> None:
        self.plane.send(messages.Unhealthy(replica_id, "requests fail"))

    # Every second.

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            try:
                self.look()
            except Exception:
                log.exception("look_broke")

    def look(self) -> None:
        plane, now = self.plane, time.monotonic()
        plane.ids.turn()
        plane.redis.look()
        plane.limiter.look()
        for engine in plane.tables.engines.values():
            engine.look(now)
        for exchange in list(plane.exchanges):
            exchange.look(now)
        for client in list(plane.clients):
            client.look(now)
        plane.tidy(idle_seconds=IDLE_SECONDS)
        self._tell_load()
        self._tell_stats()

    def _tell_load(self) -> None:
        """What the autoscaler reads."""
        redis, now = self.plane.redis, time.time()
        for route in self.plane.tables.routes.values():
            route.look(now)
            tokens, self_before = route.tokens, self._seen.get(route.row.endpoint_id, (0, 0.0))
            outstanding, queued = route.outstanding, len(route.queue)
            self._seen[route.row.endpoint_id] = (tokens, now)
            if now - route.seen_at > LOAD_SECONDS:
                continue
            seconds = max(now - self_before[1], 0.001)
            told = {
                "outstanding": outstanding,
                "queued": queued,
                "tokens_per_s": round((tokens - self_before[0]) / seconds, 1) if self_before[1] else 0.0,
                "last_request_at": route.seen_at,
                "at": now,
            }
            name = f"gateway:load:{route.row.endpoint_id}"
            redis.tell(command("HSET", name, self.orders.name, msgspec.json.encode(told)))
            redis.tell(command("EXPIRE", name, LOAD_SECONDS * 10))

    def _tell_stats(self) -> None:
        plane = self.plane
        engines = plane.tables.engines.values()
        leases = [lease for teller in plane.tellers.values() for lease in teller.leases]
        gauges = {
            "connections": float(len(plane.clients)),
            "under_way": float(len(plane.exchanges)),
            "queued": float(sum(len(route.queue) for route in plane.tables.routes.values())),
            "keys": float(len(plane.tables.keys)),
            "redis": float(plane.redis.is_there),
            "leases": float(len(leases)),
            "segments": float(len(plane.spool.segments)),
        }
        states = {engine.row.id: engine.breaker.state for engine in engines}
        plane.send(messages.Stats(plane.metrics.told(), gauges, states))


def _door(orders: Orders) -> socket.socket:
    """The port, shared with the other workers; the kernel spreads connections over them."""
    door = socket.socket(socket.AF_INET6 if ":" in orders.host else socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    door.bind((orders.host, orders.port))
    return door


def main() -> None:
    """`python -m apps.gateway.plane`, its orders on standard input."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Worker(orders, loop).run())
