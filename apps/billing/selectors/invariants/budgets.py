"""What must hold of budgets: they count what the books show, and tell of it."""

from apps.billing.selectors.budgets import FACTS, MATCHES

CHECKS: dict[str, tuple[str, str]] = {
    "budgets_spent": (
        "what a budget has counted in its running period is what the books show was charged in it",
        f"SELECT b.id, b.spent, coalesce(sum(f.amount), 0) AS booked FROM billing_budget b"  # noqa: S608
        f" LEFT JOIN ({FACTS}) f ON f.team = b.team_id AND f.booked_at >= b.period_start"
        f" AND f.booked_at < b.period_start + ('1 ' || b.period)::interval AND {MATCHES}"
        " WHERE b.removed_at IS NULL GROUP BY b.id HAVING b.spent <> coalesce(sum(f.amount), 0)",
    ),
    "budgets_told": (
        "each threshold that a budget has reached in its running period was told of",
        "SELECT b.id, t.threshold FROM billing_budget b, unnest(ARRAY[50, 80, 90, 100]) AS t(threshold)"
        " WHERE b.removed_at IS NULL AND b.spent * 100 >= b.amount * t.threshold AND b.alerted < t.threshold",
    ),
    "budgets_alerts": (
        "the highest alert of a budget's running period is the one it remembers",
        "SELECT b.id, b.alerted, max(a.threshold) FROM billing_budget b LEFT JOIN billing_budgetalert a"
        " ON a.budget_id = b.id AND a.period_start = b.period_start GROUP BY b.id"
        " HAVING b.alerted <> coalesce(max(a.threshold), 0)",
    ),
}
