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
from functools import lru_cache, partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any
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
# What reading a slot raises whose bytes are nobody's.
UNREADABLE = (msgspec.DecodeError, ArithmeticError, LookupError, ValueError)
_HAS_COUNTS = itemgetter(Flight._fields.index("has_counts"))
_facts = msgspec.msgpack.Decoder(Facts)
# `TokenUsage._make` in a third of its time.
_record = partial(tuple.__new__, tokens.TokenUsage)
log = structlog.get_logger(__name__)


SomeSlots = tuple[Segment, list[int]]


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

    def having(self, state: int, most: int) -> Iterator[SomeSlots]:
        """So many of the slots in a state, by segment."""
        for segment in self.segments().values():
            slots = list(islice(segment.having(state), most))
            most -= len(slots)
            yield segment, slots

    def count(self, state: int) -> int:
        """How many slots are in a state."""
        return sum(segment.count(state) for segment in self.segments().values())


def settle(folder: Folder, *, state: int = flights.CLOSED) -> int:
    """Charge what is closed in the folder; answers how many requests that were."""
    with folder.lock:
        began = time.thread_time()
        found = list(folder.having(state, BATCH))
        records = _records(found)
        if records:
            done = tokens.settle(records)
            tally.note(records)
            if done.quarantined:
                log.error("usage_quarantined", requests=done.quarantined)
        for segment, slots in found:
            segment.free(slots)
        if records:
            tally.note_time(time.thread_time() - began)
        return sum(len(slots) for _segment, slots in found)


def _records(found: list[SomeSlots]) -> list[tokens.TokenUsage]:
    """What the slots hold, as billing takes it. One that cannot be read, as after a power cut that kept its
    state and lost its words, is kept for a person to look at and holds up no other."""
    try:
        return records_of([fields for segment, slots in found for fields in segment.read(slots)])
    except UNREADABLE:
        pass
    records = []
    for segment, slots in found:
        for slot in slots:
            try:
                records += records_of(list(segment.read([slot])))
            except UNREADABLE:
                place = f"{segment.path.parent.name}/{segment.path.name}/{slot}"
                log.exception("slot_unreadable", place=place)
                tokens.set_aside(place=place, held=segment.raw(slot))
    return records


def settle_all(folder: Folder) -> int:
    """Charge everything that is closed now."""
    whole = 0
    while done := settle(folder):
        whole += done
        if done < BATCH:
            break
    return whole


@lru_cache(maxsize=10_000)
def _terms(raw: bytes, replica: bytes, lease: bytes) -> tokens.TokenTerms:
    """What billing calls the facts."""
    facts = _facts.decode(raw)
    into, cached, out, embedding = map(Decimal, facts.prices)
    return tokens.TokenTerms(
        team_id=facts.team_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        slug=facts.slug,
        prices=tokens.TokenPrices(facts.currency, into, cached, out, embedding, facts.version_ids),
        endpoint_id=facts.endpoint_id,
        replica_id=_id("rep", replica),
        lease_id=_id("lse", lease),
        digest=facts.digest,
        is_metered=facts.is_metered,
    )


def _id(prefix: str, raw: bytes) -> str | None:
    return None if raw == flights.NOBODY else encode(prefix, UUID(bytes=raw))


def records_of(found: list[tuple[Any, ...]]) -> list[tokens.TokenUsage]:
    """The flights of these fields as billing takes them; made by columns, which is quick."""
    if not found:
        return []
    if not all(map(_HAS_COUNTS, found)):
        found = list(map(_as_far_as_known, found))
    of: Any = Flight._make(zip(*found, strict=True))  # in the place of each field, that of every flight
    columns = (
        map(_terms, of.facts, of.replica, of.lease), of.request_id,
        of.input, of.cached, of.output, of.embedding,
        of.started_us, map(max, of.started_us, of.finished_us), map(flights.OUTCOMES.__getitem__, of.outcome),
        of.is_stream, [first // 1000 if first else None for first in of.first_us],
    )  # fmt: skip
    return list(map(_record, zip(*columns, strict=True)))


def _as_far_as_known(fields: tuple[Any, ...]) -> Flight:
    """A request whose worker is dead used as much as the spool was told."""
    flight = Flight._make(fields)
    if flight.has_counts:
        return flight
    into, cached, output = progress_of(flight)
    return flight._replace(outcome=flights.LOST, input=into, cached=cached, output=output, embedding=0)


def progress_of(flight: Flight) -> tuple[int, int, int]:
    """How far it had come: tokens of the prompt, those of them that were cached, tokens of the answer."""
    if not flight.is_stream or _facts.decode(flight.facts).is_embedding:
        return 0, 0, 0  # such an answer is passed on whole, and then the slot is closed
    said = usage.counts_in(flight.tail) if flight.tail else None
    return said or (0, 0, flight.pieces)


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
    for path in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != "."):
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
