"""What must hold of what usage cost: rated once, at the price in force, posted as it was rated."""

CHECKS: dict[str, tuple[str, str]] = {
    "rated_once": (
        "each product of an interval is rated for exactly its time and quantity",
        "SELECT i.id, i.product, i.seconds, l.seconds FROM (SELECT id, r ->> 0 AS product,"
        " (r ->> 1)::numeric AS quantity, extract(epoch FROM ended_at - started_at) AS seconds"
        " FROM billing_usageinterval, jsonb_array_elements(rates) r) i"
        " FULL JOIN (SELECT interval_id AS id, product, quantity, sum(seconds) AS seconds FROM"
        " billing_ratedusage WHERE interval_id IS NOT NULL"
        " GROUP BY 1, 2, 3) l USING (id, product, quantity) WHERE i.seconds IS DISTINCT FROM l.seconds",
    ),
    "rated_price": (
        "each rated line shows the price that was in force, of its product and currency",
        "SELECT l.id, l.product, l.started_at FROM billing_ratedusage l"
        " JOIN billing_priceversion v ON v.id = l.version_id JOIN billing_wallet w ON w.team_id = l.team_id"
        " WHERE (v.product, v.currency, v.unit_price) <> (l.product, w.currency, l.unit_price)"
        " OR l.started_at < v.valid_from"
        " OR l.started_at + make_interval(secs => l.seconds::double precision) > v.valid_until"
        " OR (l.interval_id IS NULL AND l.started_at >= v.valid_until)",
    ),
    "ledger_usage": (
        "the rated lines of a transaction add up to what it posts as revenue",
        "SELECT l.id, l.amount, t.amount FROM (SELECT transaction_id AS id, sum(amount) AS amount"
        " FROM billing_ratedusage GROUP BY 1 HAVING sum(amount) <> 0) l"
        " FULL JOIN (SELECT t.id, sum(p.amount) AS amount FROM billing_transaction t"
        " JOIN billing_posting p ON p.transaction_id = t.id JOIN billing_account a ON a.id = p.account_id"
        " WHERE t.kind IN ('usage', 'fee', 'true_up') AND a.kind = 'revenue' GROUP BY 1) t USING (id)"
        " WHERE l.amount IS DISTINCT FROM t.amount",
    ),
    "usage_owner": (
        "usage, its lines and its transaction belong to the same team",
        "SELECT i.id, i.team_id, l.team_id, t.team_id FROM billing_usageinterval i"
        " JOIN billing_ratedusage l ON l.interval_id = i.id LEFT JOIN billing_transaction t ON t.id = i.id"
        " WHERE i.team_id <> l.team_id OR i.workspace_id <> l.workspace_id OR i.team_id <> t.team_id",
    ),
    "usage_days": (
        "usage by day is the sum of the rated lines",
        "SELECT d.resource_id, d.product, d.day, d.amount, l.amount FROM billing_usageday d FULL JOIN ("
        " SELECT team_id, workspace_id, resource_id, product, (started_at AT TIME ZONE 'UTC')::date AS day,"
        " sum(seconds) AS seconds, sum(seconds * quantity) AS unit_seconds,"
        " coalesce(sum(quantity) FILTER (WHERE interval_id IS NULL), 0) AS quantity, sum(amount) AS amount"
        " FROM billing_ratedusage GROUP BY 1, 2, 3, 4, 5) l"
        " USING (team_id, workspace_id, resource_id, product, day)"
        " WHERE (d.seconds, d.unit_seconds, d.quantity, d.amount)"
        " IS DISTINCT FROM (l.seconds, l.unit_seconds, l.quantity, l.amount)",
    ),
}
