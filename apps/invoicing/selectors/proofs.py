"""What must hold of invoices; `billing_verify` asks it with the rest of the books."""

from apps.billing.selectors import proofs
from apps.billing.selectors.proofs import EXAMPLES, Finding
from apps.invoicing.models import CreditNote, Invoice
from apps.invoicing.selectors import content, paper

CHECKS: dict[str, tuple[str, str]] = {
    "invoice_lines": (
        "each line of an invoice is the sum of its rated rows, and of as many as it says",
        "SELECT l.invoice_id, l.position, l.exact, s.amount, l.rows, s.rows FROM"
        " (SELECT * FROM invoicing_invoiceline WHERE kind NOT IN ('promotion', 'tax')) l"
        " FULL JOIN (SELECT u.invoice_id, u.position, sum(r.amount) AS amount, count(r.id) AS rows"
        " FROM invoicing_invoicedusage u LEFT JOIN billing_ratedusage r ON r.id = u.rated_id"
        " AND r.team_id = u.team_id GROUP BY 1, 2) s USING (invoice_id, position)"
        " WHERE (l.exact, l.rows) IS DISTINCT FROM (s.amount, s.rows::integer)",
    ),
    "invoice_rounding": (
        "each line is rounded to the currency's minor units, by less than one",
        "SELECT l.invoice_id, l.position, l.exact, l.amount FROM invoicing_invoiceline l"
        " JOIN invoicing_invoice i ON i.id = l.invoice_id, LATERAL (SELECT CASE i.currency WHEN 'JPY' THEN 0"
        " WHEN 'KWD' THEN 3 ELSE 2 END AS digits) d"
        " WHERE l.amount <> round(l.amount, digits)"
        " OR abs(l.amount - l.exact) * 2 > power(10::numeric, -digits)",
    ),
    "invoice_sums": (
        "an invoice's sums are those of its lines, and its total follows from them",
        "SELECT i.id, i.subtotal, i.discount, i.tax, i.total FROM invoicing_invoice i JOIN ("
        " SELECT invoice_id, sum(amount) FILTER (WHERE kind NOT IN ('promotion', 'tax')) AS used,"
        " coalesce(-sum(amount) FILTER (WHERE kind = 'promotion'), 0) AS off,"
        " coalesce(sum(amount) FILTER (WHERE kind = 'tax'), 0) AS tax"
        " FROM invoicing_invoiceline GROUP BY 1) l ON l.invoice_id = i.id"
        " WHERE (i.subtotal, i.discount, i.tax) IS DISTINCT FROM (l.used, l.off, l.tax) OR i.total <>"
        " i.subtotal - i.discount + CASE WHEN (i.snapshot ->> 'is_inclusive')::boolean THEN 0 ELSE i.tax END",
    ),
    "invoice_gapless": (
        "the numbers of an entity's documents have no gap, and the next one follows the last",
        "SELECT e.id, s.kind, s.next_number, d.last, d.count FROM invoicing_legalentity e"
        " JOIN invoicing_documentsequence s ON s.entity_id = e.id LEFT JOIN ("
        " SELECT entity_id, 'invoice' AS kind, max(serial) AS last, count(serial) AS count"
        " FROM invoicing_invoice GROUP BY 1 UNION ALL"
        " SELECT entity_id, 'credit_note', max(serial), count(serial) FROM invoicing_creditnote GROUP BY 1"
        ") d ON (d.entity_id, d.kind) = (e.id, s.kind)"
        " WHERE s.next_number <> coalesce(d.last, 0) + 1 OR coalesce(d.count, 0) <> coalesce(d.last, 0)",
    ),
    "invoice_chain": (
        "every document carries the hash of the one before, the sequence that of the last",
        "SELECT entity_id, kind, serial, previous_hash, before FROM (SELECT *,"
        " lag(content_hash, 1, '') OVER w AS before, lead(serial) OVER w AS next FROM"
        " (SELECT entity_id, 'invoice' AS kind, serial,"
        " previous_hash, content_hash FROM invoicing_invoice WHERE serial IS NOT NULL UNION ALL"
        " SELECT entity_id, 'credit_note', serial, previous_hash, content_hash FROM invoicing_creditnote) d"
        " WINDOW w AS (PARTITION BY entity_id, kind ORDER BY serial)) c"
        " LEFT JOIN invoicing_documentsequence s USING (entity_id, kind) WHERE previous_hash <> before"
        " OR (next IS NULL AND content_hash IS DISTINCT FROM s.last_hash)",
    ),
    "invoice_ledger": (
        "an invoice's transaction posts its tax and its receivable",
        "SELECT i.id, i.tax, t.tax, i.due_receivable, t.due FROM invoicing_invoice i LEFT JOIN ("
        " SELECT p.transaction_id AS id, coalesce(sum(p.amount) FILTER (WHERE a.kind = 'tax'), 0) AS tax,"
        " coalesce(-sum(p.amount) FILTER (WHERE a.kind = 'receivable'), 0) AS due"
        " FROM billing_posting p JOIN billing_account a ON a.id = p.account_id"
        " JOIN billing_transaction t ON t.id = p.transaction_id WHERE t.kind = 'invoice' GROUP BY 1) t"
        " ON t.id = i.transaction_id WHERE i.state <> 'draft'"
        " AND (i.tax, i.due_receivable) IS DISTINCT FROM (coalesce(t.tax, 0), coalesce(t.due, 0))",
    ),
    "invoice_receivable": (
        "what is booked as receivable is what open invoices say",
        "SELECT b.currency, b.booked, o.owed FROM (SELECT a.currency, -sum(p.amount) AS booked"
        " FROM billing_posting p JOIN billing_account a ON a.id = p.account_id WHERE a.kind = 'receivable'"
        " GROUP BY 1) b FULL JOIN (SELECT currency, sum(greatest(due_receivable - amount_paid"
        " - amount_credited, 0)) AS owed FROM invoicing_invoice WHERE state = 'open' GROUP BY 1) o"
        " USING (currency) WHERE coalesce(b.booked, 0) <> coalesce(o.owed, 0)",
    ),
    "invoice_paid": (
        "an invoice is paid or void exactly when nothing is left to pay",
        "SELECT id, state, due_receivable + due_balance - amount_paid - amount_credited AS due"
        " FROM invoicing_invoice WHERE state = 'open'"
        " AND due_receivable + due_balance = amount_paid + amount_credited"
        " OR state IN ('paid', 'void') AND due_receivable + due_balance <> amount_paid + amount_credited",
    ),
    "credit_notes": (
        "credit notes take back no more than was invoiced",
        "SELECT i.id, i.total, n.total FROM invoicing_invoice i JOIN (SELECT invoice_id, sum(total) AS total"
        " FROM invoicing_creditnote GROUP BY 1) n ON n.invoice_id = i.id WHERE n.total > i.total",
    ),
}

HASHED = "what an invoice or credit note says has the hash that it carries"
EXPORTED = "the rows of the FOCUS export add up to the invoices"


def register() -> None:
    """Have the proof of the books include the invoices."""
    for name, (sentence, query) in CHECKS.items():
        proofs.register(name, sentence, query)
    proofs.register_finder("invoice_hash", hashes)
    proofs.register_finder("invoice_focus", exports)


def hashes() -> Finding:
    """Every document, read back and hashed again."""
    wrong = [
        f"{invoice.number}: {invoice.content_hash}"
        for invoice in Invoice.objects.final().prefetch_related("lines").iterator(500)
        if content.hash_of(invoice, sorted(invoice.lines.all(), key=lambda line: line.position))
        != invoice.content_hash
    ]
    notes = CreditNote.objects.select_related("invoice").iterator(500)
    wrong += [
        f"{note.number}: {note.content_hash}"
        for note in notes
        if content.note_hash(note) != note.content_hash
    ]
    return Finding("invoice_hash", HASHED, len(wrong), wrong[:EXAMPLES])


def exports() -> Finding:
    """Every invoice in FOCUS, added up."""
    wrong = []
    for invoice in Invoice.objects.final().prefetch_related("lines").iterator(500):
        billed = paper.billed([invoice])
        if billed != invoice.total:
            wrong.append(f"{invoice.number}: {billed} is not {invoice.total}")
    return Finding("invoice_focus", EXPORTED, len(wrong), wrong[:EXAMPLES])
