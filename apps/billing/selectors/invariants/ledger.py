"""What must hold of the ledger, the wallets, their holds, and the guards that keep them."""

CHECKS: dict[str, tuple[str, str]] = {
    "postings_sum": (
        "the postings of every transaction add up to zero",
        "SELECT t.id, coalesce(sum(p.amount), 0) FROM billing_transaction t"
        " LEFT JOIN billing_posting p ON p.transaction_id = t.id"
        " GROUP BY t.id HAVING sum(p.amount) IS DISTINCT FROM 0",
    ),
    "one_currency": (
        "a transaction touches accounts of its own currency only",
        "SELECT p.transaction_id, a.currency FROM billing_posting p JOIN billing_account a ON a.id"
        " = p.account_id"
        " JOIN billing_transaction t ON t.id = p.transaction_id WHERE a.currency <> t.currency",
    ),
    "balance": (
        "a wallet's balance is the sum of its account's postings",
        "SELECT w.team_id, w.balance, coalesce(s.total, 0) FROM billing_wallet w"
        " LEFT JOIN (SELECT account_id, sum(amount) AS total FROM billing_posting GROUP BY 1) s"
        " USING (account_id)"
        " WHERE w.balance <> coalesce(s.total, 0)",
    ),
    "wallet_limit": (
        "no wallet is below its credit limit, what is held included",
        "SELECT team_id, balance, held, credit_limit FROM billing_wallet"
        " WHERE held < 0 OR credit_limit < 0 OR balance - held + credit_limit < 0",
    ),
    "wallet_account": (
        "every customer account has one wallet, of the same team and currency",
        "SELECT a.id, a.team_id, w.team_id FROM billing_account a LEFT JOIN billing_wallet w ON"
        " w.account_id = a.id"
        " WHERE a.kind = 'customer' AND (w.team_id, w.currency) IS DISTINCT FROM (a.team_id, a.currency)",
    ),
    "holds_sum": (
        "what a wallet holds is the sum of the team's holds",
        "SELECT w.team_id, w.held, coalesce(s.total, 0) FROM billing_wallet w"
        " LEFT JOIN (SELECT team_id, sum(amount) AS total FROM billing_hold GROUP BY 1) s USING (team_id)"
        " WHERE w.held <> coalesce(s.total, 0)",
    ),
    "holds_expired": (
        "no hold is kept past its expiry by more than 30 s, but for what is parked until a person has looked",
        "SELECT h.resource_id, h.expires_at FROM billing_hold h"
        " LEFT JOIN billing_meter m ON m.resource_id = h.resource_id"
        " WHERE h.expires_at < now() - interval '30 seconds' AND coalesce(m.parked_because, '') = ''",
    ),
    "customer_rows": (
        "a customer's posting belongs to the team of its account and of its transaction",
        "SELECT p.id, p.team_id, a.team_id, t.team_id FROM billing_posting p"
        " JOIN billing_account a ON a.id = p.account_id JOIN billing_transaction t ON t.id = p.transaction_id"
        " WHERE p.team_id IS DISTINCT FROM a.team_id OR (a.team_id IS NOT NULL AND a.team_id <> t.team_id)",
    ),
    "grants_remaining": (
        "what is left of a credit grant is what no use was assigned to",
        "SELECT g.id, g.remaining, g.amount - coalesce(u.used, 0) AS expected FROM billing_creditgrant g"
        " LEFT JOIN (SELECT grant_id, sum(amount) AS used FROM billing_grantuse GROUP BY 1) u"
        " ON u.grant_id = g.id WHERE g.remaining <> g.amount - coalesce(u.used, 0)",
    ),
    "grants_booked": (
        "every credit grant was booked once, and taken back once with what was left when it lapsed",
        "SELECT g.id, g.amount, p.amount AS booked, e.amount AS lapsed FROM billing_creditgrant g"
        " LEFT JOIN billing_posting p ON p.transaction_id = g.transaction_id AND p.team_id = g.team_id"
        " LEFT JOIN billing_transaction t ON t.kind = 'expiry' AND t.reference = g.id::text"
        " LEFT JOIN billing_posting e ON e.transaction_id = t.id AND e.team_id = g.team_id"
        " WHERE p.amount IS DISTINCT FROM g.amount"
        " OR coalesce(-e.amount, 0) <> CASE WHEN g.expired_at IS NULL THEN 0 ELSE g.remaining END",
    ),
    "provider_cost": (
        "what the books say providers cost is their bills and what was counted by their rates",
        "SELECT currency, sum(amount) FROM ("
        " SELECT a.currency, p.amount FROM billing_posting p JOIN billing_account a ON a.id = p.account_id"
        " WHERE a.kind = 'provider_cost' UNION ALL SELECT currency, amount FROM billing_providercost"
        " UNION ALL SELECT currency, amount FROM billing_providerday) s GROUP BY 1 HAVING sum(amount) <> 0",
    ),
    "guards": (
        "row security, triggers and chains of every billing table stand",
        "SELECT c.relname, 'row security' FROM pg_class c WHERE c.relname LIKE 'billing\\_%' AND"
        " c.relkind = 'r'"
        " AND c.relname <> 'billing_priceversion' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
        " UNION ALL SELECT c.relname, t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relname LIKE 'billing\\_%' AND t.tgenabled <> 'O'"
        " UNION ALL SELECT 'constraint', wanted FROM unnest(ARRAY['billing_price_chain',"
        " 'billing_interval_chain',"
        " 'billing_postings_balance', 'billing_wallet_covered']) wanted"
        " WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conname = wanted AND convalidated)",
    ),
}
