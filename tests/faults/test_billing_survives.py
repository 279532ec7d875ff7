"""Killed anywhere between a report of usage and its posting, and done again: the same lines and books."""

import os
import signal
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils import timezone

from apps.billing import reconcilers
from apps.billing.models import Posting, RatedUsage
from apps.billing.selectors import proofs
from apps.billing.services import charges, events, fees, tokens
from apps.billing.services.fees import NewCommitment, NewFee
from apps.billing.specs import Rate
from apps.billing.states import FeePeriod
from apps.core import failpoints
from apps.core.actor import SYSTEM
from apps.teams.models import Team
from tests.factories.billing import (
    START,
    after,
    begin,
    make_price,
    make_team,
    make_usage,
    resource,
    wallet_of,
)
from tests.faults.harness import child, wait_for

pytestmark = [pytest.mark.serial, pytest.mark.django_db(transaction=True)]

NOW = timezone.now().replace(microsecond=0)


def report(team: Team) -> None:
    """Events on a price curve, one of them corrected, reported twice over and charged."""
    sent = [
        {
            "id": f"e-{n}", "source": "test", "type": "rag_pages", "team": team.pk,
            "time": (NOW - timedelta(hours=2)).isoformat(), "data": {"quantity": 700 + n},
        }
        for n in range(5)
    ]  # fmt: skip
    events.ingest(actor=SYSTEM, events=sent, now=NOW)
    events.ingest(actor=SYSTEM, events=sent, now=NOW)
    charges.rate_pending(limit=3)
    correction = {**sent[1], "id": "e-9", "supersedes": "e-1", "data": {"quantity": 10}}
    events.ingest(actor=SYSTEM, events=[correction], now=NOW)
    charges.rate_pending(limit=3)


def infer(team: Team) -> None:
    """A batch of token requests under a lease, settled twice."""
    first = int(team.slug.rpartition("-")[2]) << 32
    batch = [make_usage(team, (1200, 34, 560, 0), at=NOW, request_id=UUID(int=first | n)) for n in range(7)]
    tokens.settle(batch)
    tokens.settle(batch)


def run(team: Team) -> None:
    """A machine that is cut and goes on."""
    name = f"ins_{team.slug}"
    begin(team, name, Rate("type:small"), now=START)
    reconcilers.cut_due(now=after(minutes=1))
    begin(team, name, now=after(minutes=2))


def owe(team: Team) -> None:
    """A fee with included credit, and a commitment of which all is missing."""
    if not fees.Fee.objects.filter(team=team).exists():
        new = NewFee("Base", FeePeriod.MONTH, Decimal(3), date(2026, 1, 1), Decimal(1), date(2026, 2, 28))
        fees.add_fee(actor=SYSTEM, team=team, new=new)
        promise = NewCommitment("All", Decimal(2), date(2026, 1, 1), ends_on=date(2026, 3, 1))
        fees.add_commitment(actor=SYSTEM, team=team, new=promise)
    fees.charge_due(now=after(days=40))


WORK: dict[str, Callable[[Team], None]] = {"events": report, "tokens": infer, "time": run, "fees": owe}


def furnish() -> Team:
    return make_team("50")


@pytest.fixture
def prices(db: None) -> None:
    make_price("type:small", "3.6")
    make_price("rag-pages", "2", model="graduated", tiers=[["1", "2"], [None, "1"]])
    for kind in ("input", "cached", "output"):
        make_price(f"tokens:llama:{kind}", "0.7")


def outcome(team: Team) -> tuple[object, ...]:
    """What has become of the team: its lines, its balance, and what it moved on every account."""
    lines = RatedUsage.objects.filter(team=team).values_list("product", "quantity", "seconds", "amount")
    moved: dict[str, Decimal] = {}
    for kind, amount in Posting.objects.filter(transaction__team=team).values_list("account__kind", "amount"):
        moved[kind] = moved.get(kind, Decimal(0)) + amount
    wallet = wallet_of(team)
    return sorted(lines), moved, wallet.balance, wallet.held


@pytest.mark.parametrize("name", sorted(WORK))
def test_killed_at_any_point_and_done_again_it_comes_to_the_same(prices, name):
    work = WORK[name]
    calm, seen = furnish(), []
    with failpoints.watching(seen.append):
        work(calm)
    points = [point for point in dict.fromkeys(seen) if point.startswith("billing.")]
    assert points
    for point in points:
        team = furnish()

        def doomed(team: Team = team, point: str = point) -> None:
            failpoints.arm(point, "kill")
            work(team)

        with child(doomed) as pid:
            status = wait_for(pid)
        assert os.WIFSIGNALED(status), (point, status)
        assert os.WTERMSIG(status) == signal.SIGKILL, (point, status)
        work(team)
        assert outcome(team) == outcome(calm), point
    broken = [(one.name, one.examples) for one in proofs.verify() if not one.is_ok]
    assert not broken, broken


def test_a_clock_five_minutes_off_bills_no_second_twice(prices):
    team, machine = furnish(), resource()
    begin(team, machine, Rate("type:small"), now=START)
    for minute in (10, 5, 9, 15, 10, 20):
        reconcilers.cut_due(now=after(minutes=minute))
    begin(team, machine, now=after(minutes=15))
    assert wallet_of(team).balance == 50 - Decimal("3.6") * 20 / 60
    broken = [(one.name, one.examples) for one in proofs.verify() if not one.is_ok]
    assert not broken, broken
