"""The spool: what is under way and what is done but not yet settled, in a file that outlives the process.

A segment is a memory-mapped file: first one byte of state per slot, then the slots. A worker opens a slot
before it forwards a request, notes in it what it has passed on, and closes it when the request is over;
writing is copying memory, no system call. The settler reads closed slots, settles them, and frees them. When
a worker is killed, its open slots say how far each request had come: they are settled as that.

The worker moves a slot free → open → closed, the settler closed → free, and nobody else touches it; a slot
that is settled twice is found out by the request's id.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

FREE, OPEN, CLOSED = 0, 1, 2
SLOTS = 4096
SLOT = 1024
_TAIL, TAIL_MOST = 100, 284
_FACTS = 384
# outcome, stream, has counts, -, facts' length, tail's length, request, started, finished (µs), four counts,
# pieces passed on, -, replica, lease, µs to the first byte of a stream
_HEAD = struct.Struct("<B??xHH16sqqIIIII4x16s16sI")
_END = struct.Struct("<qIIII")  # finished, four counts
_PROGRESS = struct.Struct("<I")
_AT_OUTCOME, _AT_HAS_COUNTS, _AT_TAIL_LENGTH = 0, 2, 6
_AT_FINISHED, _AT_PIECES, _AT_REPLICA, _AT_FIRST = 32, 56, 64, 96
_U16 = struct.Struct("<H")
NOBODY = bytes(16)
_MOST_U32 = 2**32 - 1

OUTCOMES = ("under way", "completed", "client_gone", "engine_failed", "lost", "cut", "timeout", "refused")
COMPLETED, CLIENT_GONE, ENGINE_FAILED, LOST, CUT, TIMEOUT, REFUSED = range(1, 8)


class Facts(msgspec.Struct, array_like=True, frozen=True):
    """What is the same for all requests of a key to an endpoint at a price."""

    key_id: str
    team_id: str
    workspace_id: str
    endpoint_id: str
    slug: str
    digest: str
    is_metered: bool
    currency: str
    prices: tuple[str, str, str, str]
    version_ids: tuple[str | None, ...]
    is_embedding: bool


class Flight(NamedTuple):
    """One slot, read back. The counts are known when the request was closed; `first_us` is how long the
    caller of a stream waited for its first byte, 0 when none was sent."""

    outcome: int
    is_stream: bool
    has_counts: bool
    facts_length: int
    tail_length: int
    request_id: bytes
    started_us: int
    finished_us: int
    input: int
    cached: int
    output: int
    embedding: int
    pieces: int
    replica: bytes
    lease: bytes
    first_us: int
    facts: bytes
    tail: bytes


class Segment:
    """One file of slots."""

    def __init__(self, path: Path):
        self.path = path
        size = SLOTS + SLOTS * SLOT
        with path.open("a+b") as file:
            if file.seek(0, os.SEEK_END) < size:
                file.truncate(size)
            self.map = mmap.mmap(file.fileno(), size)
        self.cursor = 0

    def take(self) -> int:
        """The number of a free slot, or -1."""
        found = self.map.find(b"\0", self.cursor, SLOTS)
        if found < 0:
            found = self.map.find(b"\0", 0, self.cursor)
        self.cursor = found + 1 if 0 <= found < SLOTS - 1 else 0
        return found

    def count(self, state: int) -> int:
        return self.map[:SLOTS].count(state)

    def having(self, state: int) -> Iterator[int]:
        """The slots in a state."""
        mark, at = bytes((state,)), -1
        while (at := self.map.find(mark, at + 1, SLOTS)) >= 0:
            yield at

    def free(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self.map[slot] = FREE

    def raw(self, slot: int) -> bytes:
        """All that a slot holds, as it is."""
        return self.map[SLOTS + slot * SLOT : SLOTS + (slot + 1) * SLOT]

    def read(self, slots: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """What slots hold: fields of flights."""
        memory, unpack = self.map, _HEAD.unpack_from
        for slot in slots:
            at = SLOTS + slot * SLOT
            head = unpack(memory, at)
            facts, tail = at + _FACTS, at + _TAIL
            yield *head, memory[facts : facts + head[3]], memory[tail : tail + head[4]] if head[4] else b""


class Spool:
    """A worker's segments: as many as it needs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.segments = [Segment(folder / "flights-0")]

    def open(
        self, request_id: bytes, facts: bytes, *, stream: bool, started_us: int, replica: bytes, lease: bytes
    ) -> "Slot":
        """A slot for a request that is about to be forwarded to the replica, paid out of the lease."""
        segment = self.segments[-1]
        number = segment.take()
        if number < 0:
            segment, number = self._elsewhere()
        at = SLOTS + number * SLOT
        memory = segment.map
        _HEAD.pack_into(
            memory, at,
            0, stream, 0, len(facts), 0, request_id, started_us, 0, 0, 0, 0, 0, 0, replica, lease, 0,
        )  # fmt: skip
        memory[at + _FACTS : at + _FACTS + len(facts)] = facts
        memory[number] = OPEN
        return Slot(memory, number, at)

    def _elsewhere(self) -> tuple[Segment, int]:
        for segment in self.segments:
            number = segment.take()
            if number >= 0:
                return segment, number
        made = Segment(self.folder / f"flights-{len(self.segments)}")
        self.segments.append(made)
        return made, made.take()


class Slot:
    """The place of one request in the spool."""

    __slots__ = ("_at", "_map", "_number", "_said")

    def __init__(self, memory: mmap.mmap, number: int, at: int):
        self._map, self._number, self._at, self._said = memory, number, at, 0

    def engine(self, replica: bytes, lease: bytes, *, goes_on: bool) -> None:
        """Who serves it now, out of which lease: anew, or going on after what the caller has been sent."""
        at, memory = self._at, self._map
        memory[at + _AT_REPLICA : at + _AT_REPLICA + 32] = replica + lease
        if not goes_on:
            self.passed(0)
            self.said(b"")

    def said(self, usage: bytes) -> None:
        """What the engine said last of how much it has used, in at most TAIL_MOST bytes."""
        memory, at, length = self._map, self._at + _TAIL, len(usage)
        memory[at : at + length] = usage
        if length != self._said:
            self._said = length
            _U16.pack_into(memory, self._at + _AT_TAIL_LENGTH, length)

    def begun(self, microseconds: int) -> None:
        """How long the caller has waited for the first byte."""
        _PROGRESS.pack_into(self._map, self._at + _AT_FIRST, min(microseconds, _MOST_U32))

    def passed(self, pieces: int) -> None:
        """How many pieces of text the caller has been sent."""
        _PROGRESS.pack_into(self._map, self._at + _AT_PIECES, pieces)

    def close(self, outcome: int, counts: tuple[int, int, int, int], finished_us: int) -> None:
        """The request is over: it used this much."""
        at, memory = self._at, self._map
        _END.pack_into(memory, at + _AT_FINISHED, finished_us, *counts)
        memory[at + _AT_HAS_COUNTS] = 1
        memory[at + _AT_OUTCOME] = outcome
        memory[self._number] = CLOSED

    def drop(self) -> None:
        """The request came to nothing; there is nothing to settle."""
        self._map[self._number] = FREE
