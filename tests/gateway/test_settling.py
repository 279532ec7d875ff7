"""From the spool into the books: what cannot be read holds up nobody."""

from pathlib import Path
from random import Random

import msgspec
import pytest

from apps.billing.models import Quarantined, TokenRequest
from apps.core.ids import decode, new_id
from apps.gateway import flights
from apps.gateway.flights import CLOSED, COMPLETED, FREE, OPEN, SLOT, SLOTS, Facts, Slot, Spool
from apps.gateway.steward import settling
from apps.gateway.steward.settling import Folder
from tests.factories.billing import START, make_team

pytestmark = pytest.mark.django_db

DAMAGED = 60


def fly(spool: Spool, facts: bytes, number: int) -> Slot:
    """A request that is under way."""
    start = int(START.timestamp()) * 1_000_000
    slot = spool.open(
        number.to_bytes(16), facts, stream=True, started_us=start, replica=decode("rep", new_id("rep")).bytes,
        lease=flights.NOBODY,
    )  # fmt: skip
    slot.said(b'"usage":{"prompt_tokens":10,"completion_tokens":5}')
    return slot


def facts_of(team) -> bytes:
    """Those of an endpoint whose tokens cost nothing."""
    workspace = team.workspaces.get().pk
    return msgspec.msgpack.encode(Facts(
        new_id("key"), team.pk, workspace, new_id("end"), "m", "", is_metered=False, currency="EUR",
        prices=("0",) * 4, version_ids=(None,) * 4, is_embedding=False,
    ))  # fmt: skip


@pytest.mark.parametrize("state", [CLOSED, OPEN])
def test_what_cannot_be_read_is_kept_and_holds_up_nobody(tmp_path: Path, state: int):
    spool, facts = Spool(tmp_path), facts_of(make_team("1"))
    for number in range(1, DAMAGED + 6):
        slot = fly(spool, facts, number)
        if state == CLOSED:
            slot.close(COMPLETED, (10, 0, 5, 0), int(START.timestamp()) * 1_000_000 + number)
    (segment,) = spool.segments
    dice = Random(7)
    segment.map[SLOTS : SLOTS + SLOT] = bytes(SLOT)  # as a power cut leaves it
    for number in range(1, DAMAGED):
        at = SLOTS + number * SLOT
        for _each in range(dice.choice((1, 3, 40))):
            segment.map[at + dice.randrange(500)] = dice.randrange(256)
    folder = Folder(tmp_path)
    assert settling.settle(folder, state=state) == DAMAGED + 5
    assert segment.count(FREE) == SLOTS
    whole = {(DAMAGED + more).to_bytes(16) for more in range(1, 6)}
    assert whole <= {one.bytes for one in TokenRequest.objects.values_list("pk", flat=True)}
    kept = Quarantined.objects.filter(reason="malformed")
    zeros = kept.get(event_id=f"{tmp_path.name}/flights-0/0")
    assert bytes.fromhex(zeros.payload["held"]) == bytes(SLOT)
    assert 1 < len(kept) < DAMAGED
    assert settling.settle(folder, state=state) == 0
