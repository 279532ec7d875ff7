"""Refusals of billing."""

from apps.core.errors import Conflict, Invalid, NotFound, PaymentRequired


class NoHeadroom(PaymentRequired):
    """The team's balance and credit do not cover what is asked."""

    code = "balance_too_low"


class BudgetUsedUp(PaymentRequired):
    """A budget of the team leaves too little of its day or month; the message names it."""

    code = "budget_used_up"


class NoPrice(Invalid):
    """A product has no price in the team's currency at that moment."""

    code = "no_price"


class PriceConflict(Conflict):
    """The change does not fit the price book as it is now."""

    code = "price_conflict"


class RepeatedReference(Conflict):
    """The reference was used before, for something else."""

    code = "reference_used"


class LeaseGone(NotFound):
    """The lease has expired or was given back."""

    code = "lease_gone"
