"""What must hold of payments; `billing_verify` asks it with the rest of the books."""

from apps.billing.selectors import proofs

# Every object that moved money, with the transaction that says so; a reversal is one of its own.
_OBJECTS = """
    SELECT id, 'payment' AS kind, transaction_id, team_id, amount, currency FROM payments_payment
     WHERE state = 'succeeded'
    UNION ALL SELECT id, 'refund', transaction_id, team_id, -amount, currency FROM payments_refund
     WHERE state IN ('approved', 'waiting', 'succeeded', 'failed')
    UNION ALL SELECT id, 'dispute', transaction_id, team_id, -amount, currency FROM payments_dispute
    UNION ALL SELECT id, 'dispute', reversal_id, team_id, amount, currency FROM payments_dispute
     WHERE reversal_id IS NOT NULL
"""

CHECKS: dict[str, tuple[str, str]] = {
    "payment_booked": (
        "every payment, refund and dispute has its transaction, of its team, kind and currency",
        f"SELECT o.id, o.kind, o.transaction_id FROM ({_OBJECTS}) o"  # noqa: S608
        " LEFT JOIN billing_transaction t ON t.id = o.transaction_id AND t.team_id = o.team_id"
        " AND t.kind = o.kind AND t.currency = o.currency WHERE t.id IS NULL",
    ),
    "payment_amount": (
        "and that transaction moves exactly its amount where the provider's money lies",
        f"SELECT o.id, o.kind, o.amount, p.moved FROM ({_OBJECTS}) o LEFT JOIN ("  # noqa: S608
        " SELECT p.transaction_id, -sum(p.amount) AS moved FROM billing_posting p"
        " JOIN billing_account a ON a.id = p.account_id WHERE a.kind IN ('payment_clearing', 'funding')"
        " GROUP BY 1) p USING (transaction_id) WHERE p.moved IS DISTINCT FROM o.amount",
    ),
    "payment_once": (
        "no transaction stands for two of them, and none for what there is not",
        f"SELECT coalesce(t.id, o.transaction_id), count(o.id) FROM (SELECT t.id FROM billing_transaction t"  # noqa: S608
        " WHERE t.kind IN ('refund', 'dispute') OR t.kind = 'payment' AND EXISTS ("
        "SELECT FROM billing_posting p JOIN billing_account a ON a.id = p.account_id"
        " WHERE p.transaction_id = t.id"
        " AND a.kind = 'payment_clearing')) t"
        f" FULL JOIN ({_OBJECTS}) o ON o.transaction_id = t.id GROUP BY 1 HAVING count(o.id) <> 1",
    ),
    "payment_refunded": (
        "what is refunded of a payment is the sum of its refunds that were not undone",
        "SELECT p.id, p.refunded, r.total FROM payments_payment p LEFT JOIN (SELECT payment_id,"
        " sum(amount) AS total FROM payments_refund WHERE state IN ('approved', 'waiting', 'succeeded')"
        " GROUP BY 1) r ON r.payment_id = p.id WHERE p.refunded <> coalesce(r.total, 0)",
    ),
    "payment_two_people": (
        "no large refund was approved by whoever asked for it",
        "SELECT id, requester_id, decider_id FROM payments_refund WHERE needs_approval"
        " AND state NOT IN ('requested', 'rejected') AND (decider_id = '' OR decider_id = requester_id)",
    ),
}


def register() -> None:
    """Have the proof of the books include the payments."""
    for name, (sentence, query) in CHECKS.items():
        proofs.register(name, sentence, query)
