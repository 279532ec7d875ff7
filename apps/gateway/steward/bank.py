"""Leases for workers: asked of billing, kept while they are used, called back when money is short."""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import structlog

from apps.billing.errors import LeaseGone
from apps.billing.services import tokens
from apps.core.clock import db_now
from apps.core.errors import PaymentRequired
from apps.core.money import plain
from apps.gateway import messages
from apps.gateway.messages import ATTO
from apps.gateway.steward import settling

log = structlog.get_logger(__name__)

# Amounts in the books have twelve decimals.
_STEP = Decimal(1).scaleb(-12)


@dataclass
class Account:
    """One worker's leases; the books know them by its name."""

    name: str
    folder: settling.Folder
    leases: dict[str, str] = field(default_factory=dict)  # lease → team


def decimal_of(attos: int, *, up: bool = False) -> Decimal:
    return (Decimal(attos) / ATTO).quantize(_STEP, rounding=ROUND_CEILING if up else ROUND_FLOOR)


def attos_of(amount: Decimal) -> int:
    return int(amount * ATTO)


def grant(account: Account, want: messages.Want) -> messages.Granted:
    """A lease of what was wanted, or of what there is; with the amount 0 and a code when there is nothing."""
    now = db_now()
    try:
        made = tokens.lease(
            team_id=want.team_id,
            workspace_id=want.workspace_id or None,
            key_id=want.key_id or None,
            holder=account.name,
            amount=decimal_of(want.amount, up=True),
            now=now,
        )
    except PaymentRequired as refused:
        log.info("lease_refused", team_id=want.team_id, reason=refused.reason)
        return refused_for(want, "payment_required", refused.message)
    account.leases[made.id] = want.team_id
    seconds, amount = (made.expires_at - now).total_seconds(), attos_of(made.amount)
    words = "" if amount >= want.need else _too_little(made)
    return messages.Granted(want.team_id, want.workspace_id, want.key_id, made.id, amount, seconds, "", words)


def _too_little(made: tokens.Lease) -> str:
    """What callers are told whom this does not pay for."""
    whose = f"The budget “{made.budget}”" if made.budget else "The balance"
    return f"{whose} leaves {plain(made.amount)} {made.currency}, too little for the smallest answer."


def refused_for(want: messages.Want, code: str, words: str = "") -> messages.Granted:
    return messages.Granted(want.team_id, want.workspace_id, want.key_id, "", 0, 0.0, code, words)


def keep(account: Account, hold: messages.Hold) -> messages.Renewed | None:
    """Prolong a lease that is in use; None when it is gone. What is closed is no longer outstanding."""
    settling.settle_all(account.folder)
    now = db_now()
    spent = decimal_of(hold.outstanding, up=True)
    try:
        kept = tokens.renew(
            lease_id=hold.lease_id, spent=spent, amount=decimal_of(hold.left, up=True), now=now
        )
    except LeaseGone:
        return None
    return messages.Renewed(hold.lease_id, (kept.expires_at - now).total_seconds())


def take_back(account: Account, lease_id: str) -> None:
    """Release a lease that its worker is done with; what was spent of it is settled first."""
    account.leases.pop(lease_id, None)
    settling.settle_all(account.folder)
    tokens.release(lease_id=lease_id)


def sweep(account: Account) -> None:
    """Release what the books say the worker has and it has not: an outage cut a grant or a return short."""
    found = [one for one in settling.leases_of(account.name) if one not in account.leases]
    if found:
        settling.settle_all(account.folder)
        for lease_id in found:
            tokens.release(lease_id=lease_id)


def shrink(account: Account, recalled: messages.Recalled) -> None:
    """The worker has let go of what it does not hold for requests under way: so do the books."""
    for lease_id, outstanding in recalled.kept.items():
        if not outstanding:
            account.leases.pop(lease_id, None)
    settling.settle_all(account.folder)
    now = db_now()
    for lease_id, outstanding in recalled.kept.items():
        if not outstanding:
            tokens.release(lease_id=lease_id)
            continue
        try:
            tokens.renew(
                lease_id=lease_id, spent=decimal_of(outstanding, up=True), amount=Decimal(0), now=now
            )
        except LeaseGone:
            account.leases.pop(lease_id, None)
