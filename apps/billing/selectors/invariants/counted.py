"""What must hold of what is counted: events and tokens, each charged once, corrections and positions."""

CHECKS: dict[str, tuple[str, str]] = {
    "events_once": (
        "every event is charged exactly once, or waits, or is in quarantine",
        "SELECT e.id, e.source, e.event_id, count(l.id) AS charged FROM billing_usageevent e"
        " LEFT JOIN billing_ratedusage l ON l.event_id = e.id"
        " LEFT JOIN billing_unratedevent u ON u.event_id = e.id"
        " LEFT JOIN (SELECT (payload ->> 'event')::uuid AS id FROM billing_quarantined"
        " WHERE reason IN ('no_price', 'quantity') AND state <> 'released' AND payload ? 'event') q"
        " ON q.id = e.id"
        " GROUP BY e.id, u.event_id, q.id"
        " HAVING count(l.id) + (u.event_id IS NOT NULL)::int + (q.id IS NOT NULL)::int <> 1",
    ),
    "events_prompt": (
        "no event waits for longer than a quarter of an hour to be charged",
        "SELECT u.event_id, e.received_at FROM billing_unratedevent u JOIN billing_usageevent e"
        " ON e.id = u.event_id WHERE e.received_at < now() - interval '15 minutes'",
    ),
    "events_rated": (
        "a rated event has the product, team, workspace, resource and moment of its event",
        "SELECT l.id, e.id AS event FROM billing_ratedusage l LEFT JOIN billing_usageevent e"
        " ON e.id = l.event_id WHERE l.event_id IS NOT NULL AND"
        " (e.team_id, e.workspace_id, e.product, e.resource_id, e.at)"
        " IS DISTINCT FROM (l.team_id, l.workspace_id, l.product, l.resource_id, l.started_at)",
    ),
    "events_corrected": (
        "what a correction replaces is taken back once: to the digit, or off the end of the price curve,"
        " and nothing else is",
        "SELECT coalesce(r.id, old.id) AS line, old.amount, r.amount FROM"
        " (SELECT o.* FROM billing_ratedusage o JOIN billing_usageevent e ON e.supersedes = o.event_id"
        " JOIN billing_ratedusage own ON own.event_id = e.id) old"
        " FULL JOIN (SELECT * FROM billing_ratedusage WHERE reverses IS NOT NULL) r ON r.reverses = old.id"
        " WHERE (r.quantity, r.team_id, r.product, r.started_at, r.version_id) IS DISTINCT FROM"
        " (-old.quantity, old.team_id, old.product, old.started_at, old.version_id)"
        " OR (r.position IS NULL AND r.amount <> -old.amount)",
    ),
    "positions": (
        "each line on a price curve stands where the team's usage of the month had come to before it",
        "SELECT id, product, position, before FROM (SELECT id, product, position, sum("
        " CASE WHEN interval_id IS NULL THEN quantity * 3600 ELSE quantity * seconds END) OVER ("
        " PARTITION BY team_id, product, date_trunc('month', started_at AT TIME ZONE 'UTC') ORDER BY id"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM billing_ratedusage"
        " WHERE product IN (SELECT product FROM billing_ratedusage WHERE position IS NOT NULL)) l"
        " WHERE position IS NOT NULL AND position <> coalesce(before, 0)",
    ),
    "tokens_rated": (
        "the token requests of a transaction add up to its rated lines: workspace, kind, price and day",
        "SELECT transaction_id, product, day, r.tokens, l.tokens, r.amount, l.amount FROM ("
        " SELECT t.transaction_id, t.workspace_id, 'tokens:' || t.slug || ':' || k.kind AS product,"
        " t.version_ids[k.at] AS version_id, (t.started_at AT TIME ZONE 'UTC')::date AS day,"
        " sum(k.tokens) / 1000000 AS tokens, sum(k.amount) AS amount FROM billing_tokenrequest t,"
        " LATERAL (VALUES ('input', t.input, t.input_amount, 1), ('cached', t.cached, t.cached_amount, 2),"
        " ('output', t.output, t.output_amount, 3), ('embedding', t.embedding, t.embedding_amount, 4))"
        " AS k (kind, tokens, amount, at) WHERE k.tokens > 0"
        " AND (t.version_ids[k.at] IS NOT NULL OR k.amount > 0) GROUP BY 1, 2, 3, 4, 5) r"
        " FULL JOIN (SELECT transaction_id, workspace_id, product, version_id,"
        " (started_at AT TIME ZONE 'UTC')::date AS day, sum(quantity) AS tokens, sum(amount) AS amount"
        " FROM billing_ratedusage l WHERE product LIKE 'tokens:%'"
        " AND interval_id IS NULL AND event_id IS NULL AND reverses IS NULL GROUP BY 1, 2, 3, 4, 5) l"
        " USING (transaction_id, workspace_id, product, version_id, day)"
        " WHERE (r.tokens, r.amount) IS DISTINCT FROM (l.tokens, l.amount)",
    ),
    "price_lists": (
        "each rated line is priced by the list that its team had chosen at that moment",
        "SELECT l.id, v.book, c.book AS chosen FROM billing_ratedusage l"
        " JOIN billing_priceversion v ON v.id = l.version_id LEFT JOIN LATERAL ("
        " SELECT c.book FROM billing_pricelistchoice c WHERE c.team_id = l.team_id"
        " AND c.valid_from <= l.started_at ORDER BY c.valid_from DESC LIMIT 1) c ON true"
        " WHERE v.book <> 'standard' AND v.book IS DISTINCT FROM c.book",
    ),
}
