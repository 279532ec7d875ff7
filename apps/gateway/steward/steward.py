"""The steward: keeps workers running, tells them what changes, lends them money, books what they report."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog
from django.db import DatabaseError, close_old_connections, connection

from apps.core.errors import DomainError
from apps.gateway import messages
from apps.gateway.messages import AnyMessage
from apps.gateway.steward import bank, outside, receipts, settling, tables, workers
from apps.gateway.steward.host import Host
from apps.gateway.steward.tally import tally
from apps.gateway.steward.workers import Child, Terms
from apps.teams.services import note_keys_used

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
# Everything is read when something has changed, and every now and then for what changes by itself: prices by
# the calendar, say.
READ_SECONDS = 2.5
SETTLE_SECONDS = 0.5
# So long may a worker take to say what it does without.
RECALL_SECONDS = 5.0
# A database that is away for a moment, or a lock that is long in coming, refuses nobody.
LEND_TRIES = 5
LEND_PAUSE = 0.1
RECOVER_SECONDS = 5.0
TELL_SECONDS = 1.0
LONGEST_PAUSE = 10.0
Answer = TypeVar("Answer")


@dataclass
class Known:
    """What the workers have been told."""

    keys: dict[bytes, messages.KeyRow] = field(default_factory=dict)
    routes: list[messages.RouteRow] | None = None
    prices: dict[str, dict[str, messages.PriceRow]] | None = None
    newest: str = ""
    read_at: float = 0.0


class Steward:
    """One per host."""

    def __init__(self, terms: Terms, policy: messages.Policy, count: int, state_file: Path | None):
        self.terms, self.policy, self.count = terms, policy, count
        self._state_file = state_file
        self.host = Host(terms.port, count, policy.without_redis)
        self.children = self.host.children
        self.known = Known()
        self.stopping = asyncio.Event()
        self._recalls: dict[str, list[tuple[set[str], asyncio.Event]]] = {}
        self._threads = {
            name: ThreadPoolExecutor(1, thread_name_prefix=name)
            for name in ("read", "settle", "bank", "aside")
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._outside = outside.Outside(self.host, self._call_back_here)
        # Whoever is short of a team's money must not race others of it for what is called back.
        self._purses: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # The database, in threads of their own.

    async def _ask(self, thread: str, work: Callable[..., Answer], *values: Any) -> Answer:
        """Do something with the database; raises DatabaseError when it is away."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[thread], lambda: _with_database(work, values))

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Life.

    async def run(self) -> None:
        """Until told to stop."""
        self.terms.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for work, seconds in (
            (self._look, LOOK_SECONDS),
            (self._settle_now, SETTLE_SECONDS),
            (self._bury, RECOVER_SECONDS),
            (self._sweep, RECOVER_SECONDS),
            (self._outside.publish, TELL_SECONDS),
            (self._note_keys, TELL_SECONDS),
        ):
            self._background(self._again_and_again(work, seconds))
        await self._outside.start()
        keeping = [asyncio.create_task(self._keep_one()) for _ in range(self.count)]
        if self._state_file is not None:
            self._background(self._write_state(self._state_file))
        await self.stopping.wait()
        for task in keeping:
            task.cancel()
        for child in self.children:
            child.stop()
        await workers.ended(self.children, seconds=self.terms.stop_seconds + 5.0)
        await self._bury_all()
        await self._outside.stop()
        for background in list(self._tasks):
            background.cancel()

    async def _keep_one(self) -> None:
        """A worker, and another when it dies."""
        pause = 0.1
        while True:
            try:
                child = await workers.start(self.terms, self._taken)
            except OSError:  # no room, no process, no file to be had: perhaps in a moment
                log.exception("worker_not_started")
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            self.children.append(child)
            self._tell_all(child)
            began = time.monotonic()
            await child.link.lost.wait()
            while child.runs():
                await asyncio.sleep(0.02)
            self.children.remove(child)
            log.warning("worker_ended", name=child.name, status=child.process.returncode)
            self._background(self._bury())
            pause = 0.1 if time.monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _write_state(self, path: Path) -> None:
        """For whoever waits for us: where we are, once the workers know what to serve."""
        while self.known.routes is None or not any(child.stats for child in self.children):
            await asyncio.sleep(0.05)
        state = {
            "port": self.terms.port,
            "admin_port": self._outside.port,
            "workers": [child.process.pid for child in self.children],
        }
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(path)

    async def _again_and_again(self, work: Callable[[], Coroutine[Any, Any, object]], seconds: float) -> None:
        """Do it for ever; what fails once is tried again."""
        while True:
            try:
                await work()
            except (DatabaseError, DomainError) as error:
                self.host.failed_at = time.monotonic()
                log.warning("gateway_without_database", error=str(error))
            except Exception:
                log.exception("gateway_failed")
            await asyncio.sleep(seconds)

    # What workers are told.

    async def _look(self) -> None:
        """Read what has changed. Endpoints are told last: their prices and keys are known by then."""
        known, began = self.known, time.monotonic()
        newest = await self._ask("read", tables.newest_change)
        if newest != known.newest or began - known.read_at > READ_SECONDS:
            routes, books, keys = await self._ask("read", tables.read)
            known.newest, known.read_at = newest, began
            self._tell_keys(keys)
            if books != known.prices:
                known.prices = books
                self._tell(messages.Prices(books))
            if routes != known.routes:
                known.routes = routes
                self._tell(messages.Routes(routes))
                self.host.is_supplied = True
        self.host.read_at = time.monotonic()

    def _tell_keys(self, keys: dict[bytes, messages.KeyRow]) -> None:
        before, self.known.keys = self.known.keys, keys
        put = [row for digest, row in keys.items() if before.get(digest) != row]
        drop = [digest for digest in before if digest not in keys]
        if put or drop or self.known.routes is None:
            self._tell(messages.Keys(put, drop))

    def _tell(self, message: AnyMessage) -> None:
        for child in self.children:
            child.link.send(message)

    def _tell_all(self, child: Child) -> None:
        """Everything, to a worker that is new."""
        known = self.known
        child.link.send(self.policy)
        if known.prices is not None:
            child.link.send(messages.Prices(known.prices))
        if known.routes is not None:
            child.link.send(messages.Routes(known.routes))
            child.link.send(messages.Keys(list(known.keys.values()), []))

    # What workers say.

    def _taken(self, child: Child, message: AnyMessage) -> None:
        match message:
            case messages.Stats():
                child.stats = message
            case messages.Want():
                self._background(self._lend(child, message))
            case messages.Hold():
                self._background(self._keep_lease(child, message))
            case messages.GiveBack():
                self._background(self._quietly("bank", bank.take_back, child.account, message.lease_id))
            case messages.Recalled():
                self._background(self._recalled(child, message))
            case messages.ReceiptWanted():
                self._background(self._find_receipt(child, message))
            case messages.Wake():
                self._background(self._quietly("aside", tables.wake, message.endpoint_id))
            case messages.Unhealthy():
                self._background(
                    self._quietly("aside", tables.report_unhealthy, message.replica_id, message.reason)
                )

    async def _quietly(self, thread: str, work: Callable[..., object], *values: Any) -> None:
        try:
            await self._ask(thread, work, *values)
        except (DatabaseError, DomainError) as error:
            log.warning("left_undone", what=work.__name__, error=str(error))

    async def _lend(self, child: Child, want: messages.Want) -> None:
        """Money for a worker; when there is too little, what others have lying idle is called back first."""
        answer = bank.refused_for(want, "billing_away")
        try:
            answer = await self._lent_at_last(child, want) or answer
        finally:  # whoever shares the purse waits for it
            child.link.send(answer)
        if answer.amount and not child.runs():  # it has died meanwhile, and may be buried already
            await self._quietly("bank", bank.take_back, child.account, answer.lease_id)

    async def _lent_at_last(self, child: Child, want: messages.Want) -> messages.Granted | None:
        """After a few tries; None when the database stays away."""
        purse = self._purses.setdefault(want.team_id, asyncio.Lock())
        for _try in range(LEND_TRIES):
            try:
                async with purse:
                    return await self._lent(child, want)
            except DatabaseError as error:
                log.warning("no_lease", error=str(error))
                await asyncio.sleep(LEND_PAUSE)
        return None

    async def _lent(self, child: Child, want: messages.Want) -> messages.Granted:
        answer = await self._ask("bank", bank.grant, child.account, want)
        if answer.amount >= want.need:
            return answer
        await self._call_back(want.team_id)
        if answer.amount:
            await self._ask("bank", bank.take_back, child.account, answer.lease_id)
        return await self._ask("bank", bank.grant, child.account, want)

    async def _keep_lease(self, child: Child, hold: messages.Hold) -> None:
        with contextlib.suppress(DatabaseError):
            kept = await self._ask("bank", bank.keep, child.account, hold)
            if kept is not None:
                child.link.send(kept)

    async def _sweep(self) -> None:
        for child in list(self.children):
            await self._ask("bank", bank.sweep, child.account)

    async def _call_back(self, team_id: str) -> None:
        """Have everybody, here and on other hosts, give the team's idle money back."""
        await asyncio.gather(self._outside.call_back_elsewhere(team_id), self._call_back_here(team_id))

    async def _call_back_here(self, team_id: str) -> None:
        """Ask every worker for the team's idle money."""
        having = {child.name for child in self.children if team_id in child.account.leases.values()}
        if not having:
            return
        waiting = having, asyncio.Event()
        self._recalls.setdefault(team_id, []).append(waiting)
        self._tell(messages.Recall(team_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECALL_SECONDS):
                await waiting[1].wait()
        self._recalls[team_id].remove(waiting)
        if not self._recalls[team_id]:
            del self._recalls[team_id]

    async def _recalled(self, child: Child, message: messages.Recalled) -> None:
        try:
            await self._quietly("bank", bank.shrink, child.account, message)
        finally:
            for names, done in self._recalls.get(message.team_id, ()):
                names.discard(child.name)
                if not names:
                    done.set()

    async def _find_receipt(self, child: Child, wanted: messages.ReceiptWanted) -> None:
        body = None
        try:
            with contextlib.suppress(DatabaseError):
                await self._settle_now()
                body = await self._ask("aside", receipts.find, wanted.key_id, wanted.request_id)
        finally:
            child.link.send(messages.ReceiptFound(wanted.number, body))

    # The books.

    async def _settle_now(self) -> None:
        for child in list(self.children):
            await self._ask("settle", settling.settle_all, child.account.folder)
        self.host.settled_at = time.monotonic()

    async def _note_keys(self) -> None:
        """When keys were last used, for those who look at them."""
        if used := tally.keys_to_write():
            await self._ask("aside", lambda: note_keys_used(ids=used))

    async def _bury(self) -> None:
        await self._quietly("settle", settling.recover, self.terms.root)

    async def _bury_all(self) -> None:
        self.children.clear()
        await self._bury()


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    """What fails in the background is told of at once."""
    try:
        await work
    except Exception:
        log.exception("gateway_failed")


def _with_database(work: Callable[..., Answer], values: tuple[Any, ...]) -> Answer:
    try:
        close_old_connections()
        return work(*values)
    except DatabaseError:
        connection.close()
        raise


def free_port(host: str, port: int) -> tuple[int, socket.socket]:
    """The port to share, kept for us: bound, but nobody listens here."""
    keeper = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    keeper.bind((host, port))
    return int(keeper.getsockname()[1]), keeper
