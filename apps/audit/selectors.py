"""Reading records; the one spelling that is hashed; proving the chain."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from apps.audit.models import Block, Record
from apps.core.actor import Actor

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Proof:
    """What a walk along the chain found; `broken_at` is the first block that does not fit."""

    blocks: int
    records: int
    unsealed: int
    broken_at: int | None
    head: str

    @property
    def is_whole(self) -> bool:
        return self.broken_at is None


def records(actor: Actor) -> QuerySet[Record]:
    """What the actor may read of the audit log, newest first."""
    rows: QuerySet[Record] = Record.objects.visible_to(actor)
    return rows


def own_records(actor: Actor) -> QuerySet[Record]:
    """What the actor did, anywhere."""
    return Record.objects.filter(user_id=actor.user_id or None)


def verify_chain() -> Proof:
    """Recompute every block from its records; needs sight of everything."""
    blocks = counted = 0
    head = GENESIS
    broken_at: int | None = None
    for block in Block.objects.order_by("number").iterator():
        rows = list(Record.objects.filter(block=block).order_by("id"))
        fits = block.number == blocks + 1 and block.previous_hash == head and len(rows) == block.records
        if broken_at is None and not (fits and block.hash == block_hash(block, rows)):
            broken_at = block.number
        blocks, counted, head = blocks + 1, counted + len(rows), block.hash
    return Proof(blocks, counted, Record.objects.filter(block=None).count(), broken_at, head)


def block_hash(block: Block, rows: Iterable[Record]) -> str:
    """SHA-256 over the chain so far and every record, in the order of their ids."""
    digest = hashlib.sha256(f"{block.number}|{block.day}|{block.records}|{block.previous_hash}".encode())
    for one in rows:
        digest.update(hashlib.sha256(canonical(one)).digest())
    return digest.hexdigest()


def canonical(one: Record) -> bytes:
    """A record as it is hashed."""
    fields = {
        field.attname: _plain(getattr(one, field.attname))
        for field in Record._meta.concrete_fields
        if field.attname != "block_id"
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value
