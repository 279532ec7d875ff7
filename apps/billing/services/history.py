"""Past usage for demonstrations: written in bulk, through the same rating and the same ledger."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

from django.db import transaction

from apps.billing.models import Meter, TransactionKind, Wallet
from apps.billing.services.metering import Cut, settle
from apps.billing.services.wallets import Credit, credit
from apps.billing.specs import Rate, merged
from apps.core.actor import Actor
from apps.core.ids import new_id
from apps.core.permissions import Permission
from apps.teams.models import Team

STEP, OLD_STEP = timedelta(hours=6), timedelta(days=1)
OLD = timedelta(days=35)  # what is older is cut more coarsely
BATCH = 1500


@dataclass(frozen=True, slots=True)
class Stretch:
    """From a moment on, these rates; none: it is gone."""

    at: datetime
    rates: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """The life of a resource: its stretches, in order. One that does not end is left running."""

    resource_id: str
    name: str
    team_id: str
    workspace_id: str
    stretches: tuple[Stretch, ...]
    region_id: str | None = None
    kind: str = "instance"


@dataclass(frozen=True, slots=True)
class Habit:
    """What a team likes to run: at which rates, and what it costs while it is stopped."""

    name: str
    running: tuple[Rate, ...]
    stopped: tuple[Rate, ...]
    region_id: str | None = None


@transaction.atomic
def fund(*, actor: Actor, team: Team, amount: Decimal, at: datetime, reason: str) -> None:
    """A top-up that was received at a moment in the past."""
    actor.require(Permission.WALLET_CREDIT)
    what = Credit(TransactionKind.TOP_UP, amount, reason, f"history {at:%Y-%m-%d}", at)
    credit(actor=actor, team=team, what=what)


@transaction.atomic
def write_history(*, actor: Actor, pasts: Sequence[Past], now: datetime) -> int:
    """Charge past lives up to now; the number of cuts made. The teams must have been funded before."""
    actor.require(Permission.WALLET_CREDIT)
    currencies = {wallet.team_id: wallet.currency for wallet in Wallet.objects.all()}
    meters = Meter.objects.bulk_create(_meter(past, currencies[past.team_id]) for past in pasts)
    cuts = (
        cut
        for past, meter in sorted(zip(pasts, meters, strict=True), key=_place)
        for cut in _cuts(past, meter, now)
    )
    count = 0
    while batch := list(islice(cuts, BATCH)):
        settle(batch)
        count += len(batch)
    return count


def invent_pasts(
    *, team_id: str, workspace_id: str, habits: Sequence[Habit], now: datetime, days: int = 30
) -> list[Past]:
    """Plausible lives for a team, the same each time: machines that ran for hours or days, and are gone."""
    dice = random.Random(f"{team_id} {days}")  # noqa: S311 - scenery
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    pasts = []
    for number, habit in enumerate(habits):
        start = today - timedelta(days=days - dice.randrange(3), minutes=-dice.randrange(1, 900))
        while start < today - timedelta(days=1):
            worked = timedelta(minutes=dice.choice((95, 260, 480, 1500, 4300)) + dice.randrange(90))
            rested = timedelta(minutes=dice.choice((0, 0, 600, 2000)))
            gone = min(start + worked + rested, today)
            stretches = [Stretch(start, habit.running)]
            if rested and start + worked < gone:
                stretches.append(Stretch(start + worked, habit.stopped))
            stretches.append(Stretch(gone, ()))
            name = f"{habit.name}-{number + 1}{start:%d}"
            pasts.append(Past(new_id("ins"), name, team_id, workspace_id, tuple(stretches), habit.region_id))
            start = gone + timedelta(minutes=dice.choice((30, 700, 1400)) + dice.randrange(400))
    return pasts


def _meter(past: Past, currency: str) -> Meter:
    start = past.stretches[0].at
    return Meter(
        resource_id=past.resource_id,
        resource_name=past.name,
        kind=past.kind,
        team_id=past.team_id,
        workspace_id=past.workspace_id,
        region_id=past.region_id,
        currency=currency,
        rates=[],
        hourly=Decimal(0),
        metered_until=start,
        started_at=start,
    )


def _place(pair: tuple[Past, Meter]) -> tuple[datetime, str]:
    return pair[0].stretches[0].at, pair[0].resource_id


def _cuts(past: Past, meter: Meter, now: datetime) -> Iterator[Cut]:
    """The changes of a life, with a cut every few hours between them and one now if it still runs."""
    ends = [stretch.at for stretch in past.stretches[1:]] + [now]
    for stretch, end in zip(past.stretches, ends, strict=True):
        rates = merged(stretch.rates)
        yield Cut(meter, stretch.at, rates, is_change=True)
        at = stretch.at
        while rates and (at := at + (STEP if at > now - OLD else OLD_STEP)) < end:
            yield Cut(meter, at, rates)
    if past.stretches[-1].rates:
        yield Cut(meter, now, merged(past.stretches[-1].rates))
