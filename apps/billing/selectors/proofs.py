"""Every invariant of the books, each as a question whose answer must be empty.

A check is a name, the sentence that must hold, and a query that finds where it does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from apps.billing.selectors.rerating import rerate

EXAMPLES = 5
_TABLES = ["transaction", "posting", "usageinterval", "ratedusage", "meter", "hold", "wallet", "priceversion"]

# What each running or ended resource was to be charged, by the log that `begin` and `end` write.
_SEGMENTS = """
    SELECT c.resource_id, c.rates, c.at AS start,
           coalesce(lead(c.at) OVER (PARTITION BY c.resource_id ORDER BY c.seq), m.metered_until) AS until
      FROM billing_meterchange c LEFT JOIN billing_meter m USING (resource_id)
"""

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
        "no hold is kept past its expiry by more than 30 s",
        "SELECT resource_id, expires_at FROM billing_hold WHERE expires_at < now() - interval '30 seconds'",
    ),
    "customer_rows": (
        "a customer's posting belongs to the team of its account and of its transaction",
        "SELECT p.id, p.team_id, a.team_id, t.team_id FROM billing_posting p"
        " JOIN billing_account a ON a.id = p.account_id JOIN billing_transaction t ON t.id = p.transaction_id"
        " WHERE p.team_id IS DISTINCT FROM a.team_id OR (a.team_id IS NOT NULL AND a.team_id <> t.team_id)",
    ),
    "intervals_chain": (
        "the intervals of a resource follow one another: no second twice",
        "SELECT * FROM (SELECT resource_id, started_at, previous_end, lag(ended_at) OVER ("
        " PARTITION BY resource_id ORDER BY ended_at) AS before FROM billing_usageinterval) i"
        " WHERE previous_end IS DISTINCT FROM before OR started_at < before",
    ),
    "intervals_logged": (
        "every interval lies within a stretch of the log with the same rates",
        f"WITH s AS ({_SEGMENTS}) SELECT i.resource_id, i.started_at, i.ended_at FROM"  # noqa: S608
        " billing_usageinterval i"
        " WHERE NOT EXISTS (SELECT FROM s WHERE s.resource_id = i.resource_id AND s.rates = i.rates"
        " AND i.started_at >= s.start AND i.ended_at <= s.until)",
    ),
    "log_charged": (
        "every stretch of the log is covered by intervals to the last microsecond",
        f"WITH s AS ({_SEGMENTS}) SELECT s.resource_id, s.start, s.until, s.until - s.start"  # noqa: S608
        " - coalesce(sum(i.ended_at - i.started_at), interval '0') AS missing FROM s"
        " LEFT JOIN billing_usageinterval i ON i.resource_id = s.resource_id AND i.started_at >= s.start"
        " AND i.ended_at <= s.until WHERE s.rates <> '[]' GROUP BY s.resource_id, s.start, s.until"
        " HAVING coalesce(sum(i.ended_at - i.started_at), interval '0') <> s.until - s.start",
    ),
    "meters_at_end": (
        "a meter stands where its last interval ends, with the rates of the log, and will be cut again",
        "SELECT m.resource_id, m.metered_until, m.last_end FROM billing_meter m LEFT JOIN LATERAL ("
        " SELECT max(ended_at) AS e FROM billing_usageinterval i WHERE i.resource_id ="
        " m.resource_id) x ON true"
        " LEFT JOIN LATERAL (SELECT rates FROM billing_meterchange c WHERE c.resource_id = m.resource_id"
        " ORDER BY seq DESC LIMIT 1) c ON true"
        " WHERE m.parked_because = '' AND (m.last_end IS DISTINCT FROM x.e OR m.metered_until < x.e"
        " OR m.rates IS DISTINCT FROM c.rates OR (m.ended_at IS NULL) <> (m.next_cut_at IS NOT NULL))",
    ),
    "meters_parked": (
        "no meter is parked",
        "SELECT resource_id, parked_because FROM billing_meter WHERE parked_because <> ''",
    ),
    "rated_once": (
        "each product of an interval is rated for exactly its time and quantity",
        "SELECT i.id, i.product, i.seconds, l.seconds FROM (SELECT id, r ->> 0 AS product,"
        " (r ->> 1)::numeric AS quantity, extract(epoch FROM ended_at - started_at) AS seconds"
        " FROM billing_usageinterval, jsonb_array_elements(rates) r) i"
        " FULL JOIN (SELECT interval_id AS id, product, quantity, sum(seconds) AS seconds FROM"
        " billing_ratedusage"
        " GROUP BY 1, 2, 3) l USING (id, product, quantity) WHERE i.seconds IS DISTINCT FROM l.seconds",
    ),
    "rated_price": (
        "each rated line shows the price that was in force, of its product and currency",
        "SELECT l.id, l.product, l.started_at FROM billing_ratedusage l"
        " JOIN billing_priceversion v ON v.id = l.version_id JOIN billing_wallet w ON w.team_id = l.team_id"
        " WHERE (v.product, v.currency, v.unit_price) <> (l.product, w.currency, l.unit_price)"
        " OR l.started_at < v.valid_from"
        " OR l.started_at + make_interval(secs => l.seconds::double precision) > v.valid_until",
    ),
    "ledger_usage": (
        "each interval's rated lines add up to what its transaction posts as revenue",
        "SELECT l.id, l.amount, t.amount FROM (SELECT interval_id AS id, sum(amount) AS amount"
        " FROM billing_ratedusage GROUP BY 1 HAVING sum(amount) <> 0) l"
        " FULL JOIN (SELECT t.id, sum(p.amount) AS amount FROM billing_transaction t"
        " JOIN billing_posting p ON p.transaction_id = t.id JOIN billing_account a ON a.id = p.account_id"
        " WHERE t.kind = 'usage' AND a.kind = 'revenue' GROUP BY 1) t USING (id)"
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
        " SELECT l.team_id, l.workspace_id, i.resource_id, l.product, (l.started_at AT TIME ZONE"
        " 'UTC')::date AS day,"
        " sum(l.seconds) AS seconds, sum(l.seconds * l.quantity) AS unit_seconds, sum(l.amount) AS amount"
        " FROM billing_ratedusage l JOIN billing_usageinterval i ON i.id = l.interval_id GROUP BY"
        " 1, 2, 3, 4, 5) l"
        " USING (team_id, workspace_id, resource_id, product, day)"
        " WHERE (d.seconds, d.unit_seconds, d.amount) IS DISTINCT FROM (l.seconds, l.unit_seconds, l.amount)",
    ),
    "prices_chain": (
        "the versions of a price follow one another without gap or overlap, the last one open",
        "SELECT * FROM (SELECT product, currency, valid_from, valid_until, previous_until,"
        " lag(valid_until) OVER w AS before, lead(valid_from) OVER w AS later FROM billing_priceversion"
        " WINDOW w AS (PARTITION BY product, currency ORDER BY valid_from)) v"
        " WHERE previous_until IS DISTINCT FROM before OR valid_until IS DISTINCT FROM later"
        " OR valid_from <> coalesce(before, valid_from)",
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


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: how many offences, and the first few of them."""

    name: str
    sentence: str
    count: int
    examples: list[str]

    @property
    def is_ok(self) -> bool:
        return self.count == 0


def verify() -> list[Finding]:
    """Every check's finding, all on one snapshot of the books; for callers that see everything."""
    with _snapshot():
        findings = [_ask(name, *check) for name, check in CHECKS.items()]
        problems = rerate()
    sentence = "rating every interval again gives the same amounts, digit for digit"
    return [*findings, Finding("rerated", sentence, len(problems), problems[:EXAMPLES])]


def sizes() -> dict[str, int]:
    """How many rows the proof went over."""
    counts = [f"SELECT '{name}', count(*) FROM billing_{name}" for name in _TABLES]  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts))
        return dict(cursor.fetchall())


@contextmanager
def _snapshot() -> Iterator[None]:
    """One unchanging view of all tables, however long the checks take."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute("SET LOCAL statement_timeout = 0")
        yield


def _ask(name: str, sentence: str, query: str) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT *, count(*) OVER () FROM ({query}) AS found LIMIT {EXAMPLES}")  # noqa: S608
        columns = [column.name for column in cursor.description or ()][:-1]
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    examples = [", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=False)) for row in rows]
    return Finding(name, sentence, rows[0][-1] if rows else 0, examples)
