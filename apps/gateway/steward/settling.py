"""From the spool into the books: closed flights are charged, exactly once, and their slots are freed.

A worker's folder is locked by the worker while it lives. A folder that nobody locks is what a killed worker
has left: what was under way in it is charged as far as it had come, its leases are given back, and it goes.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from pathlib import Path
from uuid import UUID

import msgspec
import structlog

from apps.billing.models import Hold
from apps.billing.services import tokens
from apps.core.ids import encode
from apps.gateway import flights, usage
from apps.gateway.flights import Facts, Flight, Segment
from apps.gateway.steward.tally import tally

BATCH = 5000
LOCK = "lock"
_facts = msgspec.msgpack.Decoder(Facts)
log = structlog.get_logger(__name__)


class Folder:
    """One worker's spool, as the settler sees it."""

    def __init__(self, path: Path):
        self.path = path
        self._segments: dict[int, Segment] = {}
        # A slot that is freed twice may be somebody else's by then.
        self.lock = threading.Lock()

    def segments(self) -> dict[int, Segment]:
        for path in self.path.glob("flights-*"):
            number = int(path.name.rpartition("-")[2])
            if number not in self._segments and path.stat().st_size:
                self._segments[number] = Segment(path)
        return self._segments

    def flights(self, state: int) -> Iterator[Flight]:
        for number, segment in self.segments().items():
            for slot in segment.having(state):
                yield segment.read(number, slot)

    def count(self, state: int) -> int:
        """How many slots are in a state."""
        return sum(segment.count(state) for segment in self.segments().values())

    def free(self, settled: list[Flight]) -> None:
        for flight in settled:
            number, slot = flight.place
            self._segments[number].free(slot)


def settle(folder: Folder, *, state: int = flights.CLOSED) -> int:
    """Charge what is closed in the folder; answers how many requests that were."""
    with folder.lock:
        began = time.thread_time()
        batch = list(islice(folder.flights(state), BATCH))
        if batch:
            records = [record_of(flight) for flight in batch]
            done = tokens.settle(records)
            tally.note(records)
            if done.quarantined:
                log.error("usage_quarantined", requests=done.quarantined)
            folder.free(batch)
            tally.note_time(time.thread_time() - began)
        return len(batch)


def settle_all(folder: Folder) -> int:
    """Charge everything that is closed now."""
    whole = 0
    while done := settle(folder):
        whole += done
        if done < BATCH:
            break
    return whole


Rates = tuple[int, int, int, int]


@lru_cache(maxsize=10_000)
def _terms(raw: bytes, replica: bytes, lease: bytes) -> tuple[tokens.TokenTerms, Rates, bool]:
    """What billing calls the facts, the rates of their prices, and whether they are about embeddings."""
    facts = _facts.decode(raw)
    into, cached, out, embedding = map(Decimal, facts.prices)
    prices = tokens.TokenPrices(facts.currency, into, cached, out, embedding, facts.version_ids)
    terms = tokens.TokenTerms(
        team_id=facts.team_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        slug=facts.slug,
        currency=facts.currency,
        price_version_ids=facts.version_ids,
        endpoint_id=facts.endpoint_id,
        replica_id=_id("rep", replica),
        lease_id=_id("lse", lease),
        digest=facts.digest,
        is_metered=facts.is_metered,
    )
    return terms, tokens.token_rates(prices), facts.is_embedding


def _id(prefix: str, raw: bytes) -> str | None:
    return None if raw == flights.NOBODY else encode(prefix, UUID(bytes=raw))


def record_of(flight: Flight) -> tokens.TokenUsage:
    """The flight as billing takes it."""
    terms, rates, is_embedding = _terms(flight.facts, flight.replica, flight.lease)
    counts = flight.counts if flight.counts is not None else progress_of(flight, is_embedding=is_embedding)
    return tokens.TokenUsage(
        terms, flight.request_id.hex(), *counts, sum(tokens.token_picos(rates, counts)), flight.started_us,
        max(flight.started_us, flight.finished_us), "lost" if flight.counts is None else flight.outcome,
        flight.is_stream, flight.first_us // 1000 if flight.first_us else None,
    )  # fmt: skip


def progress_of(flight: Flight, *, is_embedding: bool) -> tuple[int, int, int, int]:
    """How far a request had come whose worker is dead: as far as the spool was told."""
    if not flight.is_stream or is_embedding:
        return 0, 0, 0, 0  # such an answer is passed on whole, and then the slot is closed
    said = usage.counts_of(usage.snippet(flight.tail)) if flight.tail else None
    if said is not None:
        return said[0], said[1], said[2], 0
    return 0, 0, flight.before + flight.pieces, 0


# What dead workers leave.


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether the folder was nobody's; it is ours in the block."""
    handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def recover(root: Path) -> int:
    """Settle and remove the folders of workers that live no more; answers how many requests were lost."""
    lost = 0
    for path in sorted(path for path in root.iterdir() if path.is_dir()):
        with locked(path) as is_ours:
            lost += _bury(path) if is_ours else 0
    return lost


def _bury(path: Path) -> int:
    folder = Folder(path)
    settle_all(folder)
    lost = 0
    while done := settle(folder, state=flights.OPEN):
        lost += done
    for lease_id in leases_of(path.name):
        tokens.release(lease_id=lease_id)
    shutil.rmtree(path)
    if lost:
        log.warning("requests_lost", requests=lost, folder=path.name)
    return lost


def leases_of(worker: str) -> list[str]:
    """The leases that the books say a worker has."""
    return list(Hold.objects.filter(pk__startswith="lse_", holder=worker).values_list("pk", flat=True))
