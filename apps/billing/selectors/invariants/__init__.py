"""Every invariant of the books: a name, the sentence that must hold, a query that finds where it does not."""

from apps.billing.selectors.invariants import budgets, counted, ledger, rated, time

CHECKS: dict[str, tuple[str, str]] = {
    **ledger.CHECKS,
    **time.CHECKS,
    **rated.CHECKS,
    **counted.CHECKS,
    **budgets.CHECKS,
}
