"""What callers say to billing about a resource: may it start, it runs (at these rates), it is gone."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing import rating
from apps.billing.errors import NoHeadroom, NoPrice
from apps.billing.models import Meter, MeterChange
from apps.billing.selectors import prices
from apps.billing.services import budgets
from apps.billing.services.holds import give_back, lock_wallet
from apps.billing.services.metering import Cut, catch_up, postpone, settle
from apps.billing.services.wallets import ensure_wallet
from apps.billing.specs import (
    RESERVE_FOR,
    RESERVE_TTL,
    SECONDS_PER_HOUR,
    Quote,
    Rate,
    Spender,
    from_json,
    merged,
)  # fmt: skip
from apps.core import statements
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.ids import decode
from apps.core.money import plain, round_minor, round_up
from apps.core.permissions import Permission

# Under the wallet's lock; what the resource held before counts as free. A team that was closed meanwhile has
# nothing to spend.
_HOLD = """
WITH own AS (
    SELECT coalesce((SELECT amount FROM billing_hold WHERE resource_id = %(resource)s), 0) AS amount
), wallet AS (
    UPDATE billing_wallet w SET held = w.held + %(wanted)s - own.amount FROM own
     WHERE w.team_id = %(team)s AND w.balance - w.held + w.credit_limit + own.amount >= %(wanted)s
       AND EXISTS (SELECT 1 FROM teams_team t WHERE t.id = w.team_id AND t.state <> 'closed')
    RETURNING w.team_id
)
INSERT INTO billing_hold (resource_id, team_id, workspace_id, user_id, key_id, amount, expires_at)
SELECT %(resource)s, team_id, %(workspace)s, %(usr)s, %(key)s, %(wanted)s, %(until)s FROM wallet
ON CONFLICT (resource_id) DO UPDATE SET amount = excluded.amount, expires_at = excluded.expires_at
"""

# The row comes back locked, whether it is new or known.
_OPEN_METER = """
INSERT INTO billing_meter (resource_id, resource_name, kind, team_id, workspace_id, region_id, user_id,
    key_id, currency, rates, hourly, metered_until, parked_because, started_at)
SELECT %(resource)s, %(name)s, %(kind)s, w.team_id, %(workspace)s, %(region)s, h.user_id, h.key_id,
    w.currency, '[]', 0, %(now)s, '', %(now)s
  FROM billing_wallet w LEFT JOIN billing_hold h ON h.resource_id = %(resource)s WHERE w.team_id = %(team)s
ON CONFLICT (resource_id) DO UPDATE SET resource_name = excluded.resource_name, proven_until = NULL
RETURNING """


# One that is being cut is left alone: the next proof comes soon.
_PROVE = """
UPDATE billing_meter m SET proven_until = CASE WHEN %(at)s::timestamptz IS NULL
       THEN coalesce(m.proven_until, m.metered_until) ELSE greatest(m.proven_until, %(at)s) END
  FROM (SELECT resource_id FROM billing_meter WHERE resource_id = ANY(%(resources)s) AND ended_at IS NULL
         ORDER BY resource_id FOR UPDATE SKIP LOCKED) AS known
 WHERE m.resource_id = known.resource_id
"""


def reserve(
    *, team_id: str, resource_id: str, rates: Iterable[Rate], now: datetime, spender: Spender | None = None
) -> Quote:
    """Hold the price of the first minutes of a resource; raises NoHeadroom, BudgetUsedUp or NoPrice.

    Asking again for the same resource replaces its hold. The hold lapses by itself after an hour;
    `end` gives it back sooner. `spender` says on whose behalf, the first time.
    """
    spender = replace(spender or Spender(team_id), resource_id=resource_id)
    quote = prices.quote(rates, team_id=team_id, at=now)
    wanted = _for_span(quote.hourly, RESERVE_FOR)
    values: dict[str, Any] = {
        "team": decode("team", team_id),
        "resource": resource_id,
        "wanted": wanted,
        "until": now + RESERVE_TTL,
        "workspace": decode("wks", spender.workspace_id) if spender.workspace_id else None,
        "usr": decode("usr", spender.user_id) if spender.user_id else None,
        "key": decode("key", spender.key_id) if spender.key_id else None,
    }
    with transaction.atomic(savepoint=False):
        wallet = lock_wallet(team_id)
        if wallet is None:
            raise NotFound(_("There is no such team."))
        free = wallet.free
        refusal = budgets.refusal(spender=spender, amount=wanted, now=now) if wallet.is_budgeted else None
        is_covered = refusal is None and statements.run(_HOLD, values) == 1
    if refusal is not None:
        raise refusal
    if not is_covered:
        raise NoHeadroom(
            _("This costs %(hourly)s %(currency)s per hour; the balance covers %(free)s %(currency)s, and"
              " %(wanted)s %(currency)s is needed to start. Add funds first.")
            % {
                "hourly": plain(quote.hourly),
                "free": plain(round_minor(free, quote.currency)),
                "wanted": plain(round_up(wanted, quote.currency)),
                "currency": quote.currency,
            },
            hourly=plain(quote.hourly), available=plain(free), needed=plain(wanted), currency=quote.currency,
        )  # fmt: skip
    return quote


def begin(  # noqa: PLR0913 - everything a meter must know
    *,
    team_id: str,
    workspace_id: str,
    resource_id: str,
    resource_name: str,
    region_id: str | None,
    kind: str,
    rates: Iterable[Rate],
    now: datetime,
) -> None:
    """Charge the resource at these rates from now on; whatever was charged before is cut here.

    Saying the same again changes nothing. No rates at all is the same as `end`.
    """
    wanted = merged(rates)
    if not wanted:
        end(resource_id=resource_id, now=now)
        return
    with transaction.atomic(savepoint=False):
        meter = _open_meter(
            {
                "team": decode("team", team_id),
                "workspace": decode("wks", workspace_id),
                "resource": resource_id,
                "name": resource_name[:120],
                "region": decode("reg", region_id) if region_id else None,
                "kind": kind,
                "now": now,
            }
        )
        _change(meter, wanted, now)


def end(*, resource_id: str, now: datetime) -> None:
    """Stop charging: the last cut is made, the hold given back. Harmless for what is not charged for."""
    with transaction.atomic(savepoint=False):
        meter = statements.select(Meter, "t.resource_id = %s FOR UPDATE", [resource_id])
        if meter is not None and meter.ended_at is None:
            _change(meter, (), now)
        else:
            give_back(resource_id)


def prove(*, resource_ids: Iterable[str], at: datetime) -> None:
    """These were just seen to run: they may be charged up to here. Whoever begins to say so must go on;
    other rates (`begin`) end it."""
    statements.run(_PROVE, {"resources": list(resource_ids), "at": at})


def doubt(*, resource_ids: Iterable[str]) -> None:
    """These were looked for in vain: they are not charged beyond what was proven until they are."""
    statements.run(_PROVE, {"resources": list(resource_ids), "at": None})


def trust(*, resource_id: str) -> None:
    """Nobody watches it from here on: it is charged until somebody says that it ended."""
    statements.run("UPDATE billing_meter SET proven_until = NULL WHERE resource_id = %s", [resource_id])


@transaction.atomic
def resume(*, actor: Actor, resource_id: str) -> Meter:
    """Charge a parked meter for all that it has missed, and let it run on; raises NoPrice when it cannot."""
    actor.require(Permission.PRICE_MANAGE)
    meter: Meter | None = Meter.objects.select_for_update().filter(pk=resource_id).first()
    if meter is None:
        raise NotFound(_("There is no such meter."))
    if meter.parked_because:
        if catch_up(meter) and meter.ended_at is None:
            settle([Cut(meter, max(db_now(), meter.metered_until), from_json(meter.rates))])
        if meter.parked_because:
            raise NoPrice(meter.parked_because)
        audit.record(actor=actor, action="meter.resumed", target=meter)
    return meter


def _change(meter: Meter, wanted: tuple[Rate, ...], now: datetime) -> None:
    """Other rates from now on, unless they are those already."""
    change = Cut(meter, max(now, meter.metered_until), wanted, is_change=True)
    if meter.parked_because and not catch_up(meter):
        last = MeterChange.objects.filter(resource_id=meter.resource_id).order_by("-seq").first()
        if last is None or from_json(last.rates) != wanted:
            postpone(change)
    elif from_json(meter.rates) != wanted:
        settle([change])


def _open_meter(values: dict[str, Any]) -> Meter:
    columns = statements.columns_of(Meter)
    statement = _OPEN_METER + columns.spelled("billing_meter")
    found = statements.fetch_one(statement, values)
    if not found:
        ensure_wallet(team_id=values["team"])
        found = statements.fetch_one(statement, values)
    meter: Meter | None = columns.read(found)
    assert meter is not None
    return meter


def _for_span(hourly: Decimal, span: timedelta) -> Decimal:
    return (hourly * Decimal(int(span.total_seconds())) / SECONDS_PER_HOUR).quantize(rating.PLACES)
