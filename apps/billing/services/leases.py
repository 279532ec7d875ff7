"""Leases: part of a wallet that a gateway spends on its own, so that no request waits for a database.

A lease is a hold. What is settled under it lowers it; what is left when it expires goes back.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.errors import LeaseGone, NoHeadroom
from apps.billing.services import budgets
from apps.billing.services.holds import Locked, give_back, lock_wallet, lock_wallet_of
from apps.billing.specs import LEASE_TTL, Lease, Spender
from apps.core import statements
from apps.core.ids import decode, encode, new_id
from apps.core.money import ZERO

_OPEN = """
WITH wallet AS (
    UPDATE billing_wallet SET held = held + %(amount)s WHERE team_id = %(team)s RETURNING team_id
)
INSERT INTO billing_hold (resource_id, team_id, workspace_id, key_id, holder, amount, expires_at)
SELECT %(lease)s, team_id, %(workspace)s, %(key)s, %(holder)s, %(amount)s, %(until)s FROM wallet
"""

_RESIZE = """
WITH hold AS (
    UPDATE billing_hold SET amount = %(amount)s, expires_at = %(until)s WHERE resource_id = %(lease)s
    RETURNING team_id, amount - %(before)s AS more
)
UPDATE billing_wallet w SET held = w.held + hold.more FROM hold WHERE w.team_id = hold.team_id
"""

_HOLD = "SELECT team_id, workspace_id, key_id, amount FROM billing_hold WHERE resource_id = %s"


@transaction.atomic
def lease(
    *,
    team_id: str,
    workspace_id: str | None,
    key_id: str | None,
    holder: str,
    amount: Decimal,
    now: datetime,
) -> Lease:
    """Set this much aside, or what is left if that is less; raises NoHeadroom when nothing is.

    Without workspace and key it is for all that no budget narrower than the team's limits.
    """
    wallet = lock_wallet(team_id)
    currency = wallet.currency if wallet else ""
    wanted, budget = min(amount, max(wallet.free, ZERO)) if wallet else ZERO, ""
    if wanted > 0 and wallet and wallet.is_budgeted:
        spender = Spender(team_id, workspace_id, key_id)
        wanted, budget = budgets.allowed(spender=spender, amount=wanted, now=now)
    if wanted <= 0:
        raise NoHeadroom(_("The balance is used up. Add funds first."), currency=currency)
    made = Lease(new_id("lse"), wanted, currency, now + LEASE_TTL, budget)
    values: dict[str, Any] = {
        "lease": made.id,
        "team": decode("team", team_id),
        "workspace": decode("wks", workspace_id) if workspace_id else None,
        "key": decode("key", key_id) if key_id else None,
        "holder": holder[:80],
        "amount": wanted,
        "until": made.expires_at,
    }
    statements.run(_OPEN, values)
    return made


@transaction.atomic
def renew(*, lease_id: str, spent: Decimal, amount: Decimal, now: datetime) -> Lease:
    """Keep the lease for another while, with `amount` to spend on top of what is `spent` but not settled.

    Smaller when less is left, down to nothing; raises LeaseGone when it has expired: take a new one.
    """
    wallet, held, spender = _lock_lease(lease_id)
    more = max(ZERO, min(spent + amount - held, wallet.free))
    if more and wallet.is_budgeted:
        more, _budget = budgets.allowed(spender=spender, amount=more, now=now)
    whole = min(held + more, spent + amount)
    _resize(lease_id, before=held, amount=whole, until=now + LEASE_TTL)
    return Lease(lease_id, max(whole - spent, ZERO), wallet.currency, now + LEASE_TTL)


@transaction.atomic
def release(*, lease_id: str, spent: Decimal = ZERO) -> None:
    """Give back what is left, but for what was spent and is not yet settled; harmless when it is gone."""
    try:
        _wallet, held, _spender = _lock_lease(lease_id)
    except LeaseGone:
        return
    if spent > 0:
        _resize(lease_id, before=held, amount=min(held, spent), until=None)
    else:
        give_back(lease_id)


def _resize(lease_id: str, *, before: Decimal, amount: Decimal, until: datetime | None) -> None:
    values: dict[str, Any] = {"lease": lease_id, "before": before, "amount": amount, "until": until}
    statement = _RESIZE if until else _RESIZE.replace(", expires_at = %(until)s", "")
    statements.run(statement, values)


def _lock_lease(lease_id: str) -> tuple[Locked, Decimal, Spender]:
    """The locked wallet, what the lease holds of it, and on whose behalf."""
    wallet = lock_wallet_of(lease_id)
    row = statements.fetch_one(_HOLD, [lease_id]) if wallet else None
    if wallet is None or row is None:
        raise LeaseGone(_("This lease has expired."))
    team, workspace, key, held = row
    on_behalf = (encode("wks", workspace) if workspace else None, encode("key", key) if key else None)
    return wallet, held, Spender(encode("team", team), *on_behalf)
