"""Cutting meters: what was used since the last cut becomes an interval, rated lines and postings.

All ways to charge for time come through `settle`: the periodic cut, a change of rates, the end.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from apps.billing import rating
from apps.billing.models import AccountKind, Meter, MeterChange, TransactionKind
from apps.billing.rating import Line, Unpriced, Version
from apps.billing.selectors import books
from apps.billing.services import booking, budgets
from apps.billing.services.booking import Batch
from apps.billing.services.budgets import Caps
from apps.billing.services.positions import Positions
from apps.billing.specs import (
    CUT_EVERY,
    EPOCH,
    GRACE,
    HOLD_AHEAD,
    HOLD_TTL,
    SECONDS_PER_HOUR,
    Rate,
    Spender,
    as_json,
    as_json_text,
    derived_uuid,
    from_json,
)  # fmt: skip
from apps.core import statements
from apps.core.ids import decode, encode
from apps.core.money import ZERO
from apps.operations.services import emit_many
from apps.operations.specs import Happening

_LOCK_WALLETS = """
SELECT team_id, account_id, balance - held + credit_limit, is_budgeted FROM billing_wallet
 WHERE team_id = ANY(%s) ORDER BY team_id FOR UPDATE
"""
_HOLDS = "SELECT resource_id, amount FROM billing_hold WHERE resource_id = ANY(%s)"


@dataclass(slots=True)
class Cut:
    """A meter, up to when to charge it, and the rates from then on (none: charging ends)."""

    meter: Meter
    until: datetime
    rates: tuple[Rate, ...]
    is_change: bool = False

    @property
    def past_rates(self) -> tuple[Rate, ...]:
        return from_json(self.meter.rates)

    @property
    def has_time(self) -> bool:
        return bool(self.meter.rates) and self.until > self.meter.metered_until


@dataclass(slots=True)
class Purse:
    """What is left to spend of a locked wallet, and how it has changed so far."""

    account_id: UUID
    free: Decimal
    is_budgeted: bool = False
    balance: Decimal = ZERO
    held: Decimal = ZERO


def settle(cuts: Sequence[Cut]) -> list[Meter]:
    """Charge every cut and set what follows it; returns the meters that cannot go on being paid for.

    The caller holds the meters' row locks in a transaction; a meter may stand in several cuts, in
    order of time. What the team cannot pay is booked as uncollected. A meter that has no price is
    parked, not guessed at.
    """
    book = _price_book(cuts)
    purses, holds = _open_purses(cuts)
    has_budgets = any(purse.is_budgeted for purse in purses.values())
    caps = _open_caps(cuts) if has_budgets else Caps(())
    batch, positions = Batch(), Positions()
    for cut in cuts:
        meter, versions = cut.meter, book.get(cut.meter.team_id, [])
        try:
            lines, hourly = _lines(cut, versions), _hourly(cut, versions)
        except Unpriced as gap:
            _park(batch, cut, str(gap))
            continue
        lines = [positions.place(meter.team_id, line) for line in lines]
        purse, own = purses[meter.team_id], holds.get(meter.resource_id, ZERO)
        purse.free += own
        caps.spend(meter.resource_id, rating.total(lines) - own)
        if lines:
            _charge(batch, cut, lines, purse)
        wanted = _ahead(hourly)
        is_unpaid = purse.free < wanted
        held = holds[meter.resource_id] = min(caps.fit(meter.resource_id, wanted), purse.free)
        caps.spend(meter.resource_id, held)
        purse.free -= held
        purse.held += held - own
        _follow(batch, cut, hourly, is_short=held < wanted, is_unpaid=is_unpaid)
    _close(batch, cuts, purses, holds)
    booking.write(batch)
    if has_budgets:
        _count(batch)
    _warn(cuts)
    return [meter for meter in {cut.meter.pk: cut.meter for cut in cuts}.values() if _is_lost(meter)]


def _open_caps(cuts: Sequence[Cut]) -> Caps:
    teams = {cut.meter.team_id for cut in cuts}
    now = max(cut.until for cut in cuts)
    return Caps.of(team_ids=teams, resource_ids=[cut.meter.resource_id for cut in cuts], now=now)


def _count(batch: Batch) -> None:
    """Tell the budgets what was charged, each amount at the moment under which it was booked."""
    amounts = {line[0]: ZERO for line in batch.lines}
    for line in batch.lines:
        amounts[line[0]] += line[-2]
    by_moment: dict[datetime, list[tuple[Spender, Decimal]]] = {}
    for usage, resource, team, workspace, *_rest, until, _previous in batch.intervals:
        spender = Spender(encode("team", team), encode("wks", workspace), None, resource)
        by_moment.setdefault(until, []).append((spender, amounts.get(usage, ZERO)))
    for moment, spent in sorted(by_moment.items(), key=lambda one: one[0]):
        budgets.note(spent=[one for one in spent if one[1]], now=moment)


def _warn(cuts: Sequence[Cut]) -> None:
    """Let the team hear of what has just become short of money."""
    short = [cut.meter for cut in cuts if cut.meter.short_since == cut.until]
    emit_many(
        [
            Happening("wallet.short", meter.team_id, meter.team_id, None, {"resource": meter.resource_id})
            for meter in short
        ]
    )


def _ahead(hourly: Decimal) -> Decimal:
    """What is held for a resource between two cuts."""
    return (hourly * Decimal(int(HOLD_AHEAD.total_seconds())) / SECONDS_PER_HOUR).quantize(rating.PLACES)


def _close(batch: Batch, cuts: Sequence[Cut], purses: dict[str, Purse], holds: dict[str, Decimal]) -> None:
    """Add to the batch what the wallets, holds and meters have become."""
    batch.wallets = [
        (decode("team", team), purse.balance, purse.held)
        for team, purse in purses.items()
        if purse.balance or purse.held
    ]
    for cut in {cut.meter.pk: cut for cut in cuts}.values():
        meter = cut.meter
        times = (
            meter.metered_until, meter.last_end, meter.next_cut_at, meter.short_since, meter.unpaid_since,
        )  # fmt: skip
        rates = json.dumps(meter.rates)
        batch.meters.append(
            (meter.resource_id, rates, meter.hourly, *times, meter.parked_because, meter.ended_at)
        )
        if meter.ended_at is None and not meter.parked_because:
            held, until = holds[meter.resource_id], meter.metered_until + HOLD_TTL
            batch.holds.append((meter.resource_id, decode("team", meter.team_id), held, until))
        elif not meter.parked_because:
            batch.released.append((meter.resource_id,))


def _price_book(cuts: Sequence[Cut]) -> dict[str, list[Version]]:
    products = {rate.product for cut in cuts for rate in (*cut.past_rates, *cut.rates)}
    return books.versions(
        products,
        {cut.meter.team_id: cut.meter.currency for cut in cuts},
        start=min(min(cut.meter.metered_until, cut.until) for cut in cuts),
        end=max(cut.until for cut in cuts),
    )


def _open_purses(cuts: Sequence[Cut]) -> tuple[dict[str, Purse], dict[str, Decimal]]:
    """Lock the wallets, in order; then read the holds, which change only under these locks."""
    teams = sorted({decode("team", cut.meter.team_id) for cut in cuts})
    wallets = statements.fetch_all(_LOCK_WALLETS, [teams])
    purses = {encode("team", team): Purse(*about) for team, *about in wallets}
    resources = [cut.meter.resource_id for cut in cuts]
    return purses, dict(statements.fetch_all(_HOLDS, [resources]))


def _lines(cut: Cut, versions: Sequence[Version]) -> list[Line]:
    if not cut.has_time:
        return []
    return rating.rate_interval(cut.meter.metered_until, cut.until, cut.past_rates, versions)


def _hourly(cut: Cut, versions: Sequence[Version]) -> Decimal:
    """What the rates that follow cost per hour, at the prices of the moment."""
    unit = {
        v.product: v.unit_price
        for v in versions
        if v.start <= cut.until and (v.end is None or v.end > cut.until)
    }
    for rate in cut.rates:
        if rate.product not in unit:
            raise Unpriced(rate.product, cut.until)
    return rating.hourly(cut.rates, unit)


def _charge(batch: Batch, cut: Cut, lines: Sequence[Line], purse: Purse) -> None:
    """The interval, its lines, and the transaction of what they come to; they share one id."""
    meter, start = cut.meter, cut.meter.metered_until
    team = decode("team", meter.team_id)
    micros = (start - EPOCH) // timedelta(microseconds=1)
    usage = derived_uuid(cut.until, "usage", meter.resource_id, str(micros))
    _note_usage(batch, cut, lines, usage)
    amount = rating.total(lines)
    if not amount:
        return
    paid = min(amount, purse.free)
    purse.free -= paid
    purse.balance -= paid
    texts = (meter.currency, meter.resource_id, meter.resource_name, "")
    batch.post(
        (usage, str(TransactionKind.USAGE), team, *texts, cut.until),
        (purse.account_id, team, -paid),
        (batch.business_account(AccountKind.UNCOLLECTED, meter.currency), None, paid - amount),
        (batch.business_account(AccountKind.REVENUE, meter.currency), None, amount),
    )


def _note_usage(batch: Batch, cut: Cut, lines: Sequence[Line], usage: UUID) -> None:
    meter = cut.meter
    owner = (decode("team", meter.team_id), decode("wks", meter.workspace_id))
    region = decode("reg", meter.region_id) if meter.region_id else None
    rates = as_json_text(cut.past_rates)
    span = (meter.metered_until, cut.until, meter.last_end)
    batch.intervals.append((usage, meter.resource_id, *owner, region, rates, *span))
    for line in lines:
        what = (meter.resource_id, line.product, "hour", decode("prv", line.version_id), line.start)
        cost = (line.seconds, line.quantity, line.unit_price, line.position, line.amount, None)
        batch.lines.append((usage, None, usage, *owner, *what, *cost))


def _follow(batch: Batch, cut: Cut, hourly: Decimal, *, is_short: bool, is_unpaid: bool) -> None:
    """Set the meter for what comes after the cut. It is short of the balance, or of a budget, or of both:
    each since a moment of its own."""
    meter = cut.meter
    if cut.has_time:
        meter.last_end = cut.until
    meter.metered_until = max(cut.until, meter.metered_until)
    meter.rates, meter.hourly = as_json(cut.rates), hourly
    meter.parked_because = ""
    if cut.rates:
        meter.ended_at = None
        meter.short_since = (meter.short_since or cut.until) if is_short else None
        meter.unpaid_since = (meter.unpaid_since or cut.until) if is_unpaid else None
        meter.next_cut_at = cut.until + CUT_EVERY
    else:
        meter.ended_at, meter.next_cut_at = meter.metered_until, None
        meter.short_since = meter.unpaid_since = None
    _log_change(batch, cut)


def _park(batch: Batch, cut: Cut, because: str) -> None:
    """Leave the meter where it is until somebody has looked; what was to follow is in the log."""
    cut.meter.parked_because = because[:300]
    cut.meter.next_cut_at = None
    cut.meter.ended_at = None if cut.rates else cut.until
    _log_change(batch, cut)


def _log_change(batch: Batch, cut: Cut) -> None:
    if cut.is_change:
        meter = cut.meter
        team, workspace = decode("team", meter.team_id), decode("wks", meter.workspace_id)
        batch.changes.append((meter.resource_id, team, workspace, as_json_text(cut.rates), cut.until))


def catch_up(meter: Meter) -> bool:
    """Charge a parked meter along its log, change by change; False when it still cannot be."""
    later = MeterChange.objects.filter(resource_id=meter.resource_id, at__gte=meter.metered_until)
    for change in later.order_by("seq"):
        settle([Cut(meter, change.at, from_json(change.rates))])
        if meter.parked_because:
            return False
    return True


def postpone(cut: Cut) -> None:
    """Note in the log what is to follow for a meter that is parked; `catch_up` will charge it."""
    batch = Batch()
    _park(batch, cut, cut.meter.parked_because)
    _close(batch, [cut], {}, {})
    booking.write(batch)


def _is_lost(meter: Meter) -> bool:
    """Whether the grace period has run out."""
    since = meter.short_since
    return meter.ended_at is None and since is not None and meter.metered_until - since >= GRACE
