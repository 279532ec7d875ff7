"""Where budgets limit what may be held, and hear of what was spent. No budgets, no limits.

Both are called inside the caller's transaction, under the wallet's lock.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from apps.billing.specs import Spender


def allowed(*, spender: Spender, amount: Decimal, now: datetime) -> Decimal:
    """How much of the amount the spender's budgets leave; raises PaymentRequired when one leaves nothing."""
    return amount


def note(*, spent: Iterable[tuple[Spender, Decimal]], now: datetime) -> None:
    """Count what has just been charged against the spenders' budgets."""
