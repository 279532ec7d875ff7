"""Giving back what is set aside of a wallet: one way for machines and for leases."""

from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from apps.core import statements
from apps.core.ids import decode

_LOCK = """
SELECT w.balance - w.held + w.credit_limit, w.currency, w.is_budgeted FROM billing_wallet w
"""
_OF_TEAM = _LOCK + " WHERE w.team_id = %s FOR UPDATE"
_OF_HOLD = _LOCK + " WHERE w.team_id = (SELECT team_id FROM billing_hold WHERE resource_id = %s) FOR UPDATE"  # noqa: S608

_RELEASE = """
WITH hold AS (DELETE FROM billing_hold WHERE resource_id = %s RETURNING team_id, amount)
UPDATE billing_wallet w SET held = w.held - hold.amount FROM hold WHERE w.team_id = hold.team_id
"""


class Locked(NamedTuple):
    """A wallet under lock: what is left to spend of it. Its holds change only under this lock."""

    free: Decimal
    currency: str
    is_budgeted: bool


def lock_wallet(team_id: str) -> Locked | None:
    """Lock the team's wallet; None when it has none."""
    row = statements.fetch_one(_OF_TEAM, [decode("team", team_id)])
    return Locked(*row) if row else None


def lock_wallet_of(resource_id: str) -> Locked | None:
    """Lock the wallet that the resource's hold is of; None when nothing is held for it."""
    row = statements.fetch_one(_OF_HOLD, [resource_id])
    return Locked(*row) if row else None


def give_back(resource_id: str) -> None:
    """Give back what is held for the resource; harmless when nothing is. A known hold is locked with its
    wallet first, so that it goes back as it is then."""
    with transaction.atomic(savepoint=False):
        if lock_wallet_of(resource_id) is not None:
            statements.run(_RELEASE, [resource_id])
