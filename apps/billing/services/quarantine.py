"""Setting aside what cannot be believed, and what a person decides about it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.billing.states import QuarantineReason
from apps.core.ids import decode, new_uuid
from apps.operations.services import emit

_PUT = """
INSERT INTO billing_quarantined (id, source, event_id, team_id, meter, reason, detail, payload, payload_hash)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[],
    %s::jsonb[], %s::bytea[])
ON CONFLICT (source, event_id, payload_hash) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A report of usage that is not charged: who sent what, and why not."""

    source: str
    event_id: str
    team_id: str | None
    meter: str
    reason: QuarantineReason
    payload: dict[str, Any]
    detail: str = ""


def put(refused: Sequence[Refused]) -> int:
    """Keep the reports for a person to look at, each content once, and raise an alert; how many were new."""
    if not refused:
        return 0
    rows = [_row(one) for one in refused]
    with connection.cursor() as cursor:
        cursor.execute(_PUT, [list(column) for column in zip(*rows, strict=True)])
        count = int(cursor.rowcount)
    if count:
        reasons = sorted({str(one.reason) for one in refused})
        emit(type="usage.quarantined", subject=refused[0].source, data={"count": count, "reasons": reasons})
    return count


def _row(one: Refused) -> tuple[Any, ...]:
    payload = json.dumps(one.payload, sort_keys=True, default=str)
    digest = hashlib.sha256(payload.encode()).digest()
    who = (new_uuid(), one.source[:80], one.event_id[:100], _team(one.team_id), one.meter[:40])
    return (*who, str(one.reason), one.detail[:300], payload, digest)


def _team(text: str | None) -> Any:
    try:
        return decode("team", text) if text else None
    except ValueError:
        return None
