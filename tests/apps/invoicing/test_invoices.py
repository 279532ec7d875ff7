"""A month's usage becomes an invoice with a number, and is paid, corrected or given up."""

from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.billing import reconcilers as billing
from apps.billing.models import RatedUsage
from apps.billing.selectors import proofs
from apps.billing.services import charges, charging, events, wallets
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.errors import Conflict, DomainError
from apps.invoicing import reconcilers, services
from apps.invoicing.models import DocumentSequence, Invoice, InvoicedUsage, InvoiceLine
from apps.invoicing.selectors import content, paper, typesetting
from apps.invoicing.services import CreditWish, mailing
from apps.invoicing.specs import Period
from tests.factories.billing import after, begin, make_price, make_team, resource, wallet_of
from tests.factories.invoicing import CLOSED, MARCH, close, invoice_of, make_entity, make_profile, make_tax

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def paid():
    """A team in Hamburg with 100 EUR that ran a machine for ten hours at 1.2345 an hour."""
    make_entity()
    make_tax("DE", "0.19")
    make_price("type:small", "1.2345")
    team = make_team("100")
    make_profile(team)
    use(team, hours=10)
    return team


def use(team, *, hours, product="type:small", start=0):
    machine = resource()
    begin(team, machine, Rate(product), now=after(hours=start))
    charging.end(resource_id=machine, now=after(hours=start + hours))
    return machine


def test_a_month_becomes_an_invoice_with_tax_paid_from_the_balance(paid):
    run = close()
    invoice = invoice_of(paid)
    assert (run.state, invoice.state, invoice.number) == ("done", "paid", "HAI-000001")
    assert (invoice.subtotal, invoice.tax, invoice.total) == (D("12.34"), D("2.34"), D("14.68"))
    assert invoice.amount_due == 0
    assert wallet_of(paid).balance == D("100") - invoice.total
    [usage, tax] = invoice.lines.order_by("position")
    assert (usage.quantity, usage.unit, usage.exact, usage.amount) == (10, "hour", D("12.345"), D("12.34"))
    assert (tax.kind, tax.amount, tax.tax_rate) == ("tax", D("2.34"), D("0.19"))
    assert sound()


def test_every_rated_row_stands_on_one_line(paid):
    close()
    invoice = invoice_of(paid)
    assert set(InvoicedUsage.objects.values_list("rated_id", flat=True)) == set(
        RatedUsage.objects.values_list("pk", flat=True)
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        InvoicedUsage.objects.create(
            rated_id=RatedUsage.objects.first().pk, team=paid, invoice=invoice, position=1
        )


def test_what_the_balance_does_not_cover_is_due(paid):
    wallet = wallet_of(paid)
    use(paid, hours=int(wallet.balance / D("1.2345")), start=20)
    close()
    invoice = invoice_of(paid)
    assert invoice.state == "open"
    assert invoice.amount_due == invoice.due_receivable > 0
    assert wallet_of(paid).balance < D("0.01")
    assert not services.settle_from_balance(actor=SYSTEM, invoice_id=invoice.pk)
    wallets.top_up(actor=SYSTEM, team=paid, amount=D(50), reason="wire")
    assert reconcilers.settle_open() == 1
    invoice.refresh_from_db()
    assert (invoice.state, invoice.amount_due) == ("paid", 0)
    assert account("receivable") == 0
    assert sound()


def test_a_balance_below_zero_is_due(paid):
    wallets.set_credit_limit(actor=SYSTEM, team=paid, amount=D(500))
    use(paid, hours=100, start=20)
    close()
    invoice = invoice_of(paid)
    assert invoice.due_balance == -wallet_of(paid).balance.quantize(D("0.01"))
    assert invoice.from_balance + invoice.amount_due == invoice.total
    assert sound()


def test_uncollected_usage_is_asked_for(paid):
    use(paid, hours=100, start=20)
    short = -account("uncollected")
    assert short > 0
    close()
    assert account("uncollected") == 0
    assert invoice_of(paid).amount_due > short
    assert sound()


def test_late_usage_stands_on_the_next_invoice(paid):
    close()
    first = invoice_of(paid)
    use(paid, hours=5, start=100)
    april = Period.month(2026, 4)
    close(april, now=april.end + (CLOSED - MARCH.end))
    second = invoice_of(paid)
    assert [line.kind for line in second.lines.order_by("position")] == ["prior_period", "tax"]
    assert (second.number, second.previous_hash) == ("HAI-000002", first.content_hash)
    assert first.content_hash == content.hash_of(first, paper.lines_of(first))
    assert sound()


@pytest.mark.parametrize(("right", "change"), [("12000", "2"), ("5000", "-5"), ("0", "-10")])
def test_an_event_corrected_after_its_invoice_is_set_right_by_the_next_that_is_not_negative(right, change):
    make_entity()
    make_tax("DE", "0.19")
    make_price("rag-pages", "1")
    make_price("type:small", "1.5")
    team = make_team("100")
    make_profile(team)
    report(team, "e-1", "10000")
    close()
    first = invoice_of(team)
    assert (first.total, wallet_of(team).balance) == (D("11.90"), D("88.10"))
    report(team, "e-2", right, supersedes="e-1")
    close_later(4)
    assert Invoice.objects.count() == (2 if D(change) > 0 else 1)
    assert not Invoice.objects.filter(state="draft").exists()
    use(team, hours=10, start=24 * 70)  # in May
    close_later(5)
    made = Invoice.objects.exclude(pk=first.pk)
    assert sum(one.subtotal for one in made) == 15 + D(change)
    assert sum(one.total for one in made) == (15 + D(change)) * D("1.19")
    assert wallet_of(team).balance == 100 - sum(one.total for one in Invoice.objects.all())
    assert first.content_hash == content.hash_of(first, paper.lines_of(first))
    assert InvoicedUsage.objects.count() == RatedUsage.objects.count()
    assert sound()


def close_later(month):
    period = Period.month(2026, month)
    close(period, now=period.end + (CLOSED - MARCH.end))


def report(team, name, pages, **more):
    raw = {
        "id": name, "source": "rag", "type": "rag_pages", "team": team.pk, "time": after(days=20).isoformat(),
        "data": {"quantity": pages}, **more,
    }  # fmt: skip
    (result,) = events.ingest(actor=SYSTEM, events=[raw], now=after(days=21))
    assert (result.status, charges.rate_pending()) == ("accepted", 1)


def test_nothing_is_final_before_the_grace_period_is_over(paid):
    run = services.open_run(actor=SYSTEM, period=MARCH, now=MARCH.end)
    assert reconcilers.advance_runs(now=MARCH.end) == 0
    draft = run.invoices.get()
    with pytest.raises(Conflict):
        services.finalize_invoice(actor=SYSTEM, invoice_id=draft.pk, now=MARCH.end)
    with pytest.raises(Conflict):
        services.open_run(actor=SYSTEM, period=MARCH, now=CLOSED)


def test_a_team_without_usage_gets_no_invoice(paid):
    make_team("10")
    close()
    assert Invoice.objects.count() == 1


def test_granted_credit_is_taken_off_before_tax_once(paid):
    wallets.grant_credit(actor=SYSTEM, team=paid, amount=D(5), reason="welcome")
    close()
    invoice = invoice_of(paid)
    assert (invoice.discount, invoice.tax, invoice.total) == (D(5), D("1.39"), D("8.73"))
    use(paid, hours=10, start=24 * 40)
    april = Period.month(2026, 4)
    close(april, now=april.end + (CLOSED - MARCH.end))
    assert invoice_of(paid).discount == 0
    assert sound()


def test_it_says_which_granted_credit_paid_for_the_month(paid):
    for amount, reason in ((D(5), "welcome"), (D(50), "research")):
        wallets.grant_credit(actor=SYSTEM, team=paid, amount=amount, reason=reason)
    use(paid, hours=10, start=20)
    close()
    invoice = invoice_of(paid)
    assert content.credit_used(invoice) == [("welcome", D(5)), ("research", D("7.345"))]
    assert b"research" in paper.json_of(invoice)
    assert paper.pdf(invoice).startswith(b"%PDF")
    assert sound()


def test_a_final_invoice_cannot_be_changed(paid):
    close()
    invoice = invoice_of(paid)
    for change in (
        lambda: Invoice.objects.filter(pk=invoice.pk).update(total=1),
        lambda: Invoice.objects.filter(pk=invoice.pk).update(state="draft"),
        lambda: Invoice.objects.filter(pk=invoice.pk).delete(),
        lambda: InvoiceLine.objects.filter(invoice=invoice).update(amount=1),
        lambda: InvoiceLine.objects.filter(invoice=invoice).delete(),
        lambda: DocumentSequence.objects.update(next_number=7),
        lambda: InvoicedUsage.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_a_draft_that_fails_is_parked_and_holds_up_no_other(paid):
    other = make_team("50")
    use(other, hours=1)
    services.open_run(actor=SYSTEM, period=MARCH, now=CLOSED)
    broken = Invoice.objects.get(team=other)
    Invoice.objects.filter(pk=broken.pk).update(parked_because="somebody has to look")
    assert reconcilers.advance_runs(now=CLOSED) == 1
    broken.run.refresh_from_db()
    assert broken.run.state == "running"
    services.retry_invoice(actor=SYSTEM, invoice_id=broken.pk)
    assert reconcilers.advance_runs(now=CLOSED) == 1
    broken.run.refresh_from_db()
    assert broken.run.state == "done"


def test_a_credit_note_gives_back_with_tax(paid):
    close()
    invoice = invoice_of(paid)
    before = wallet_of(paid).balance
    wish = CreditWish({1: D("10.00")}, "outage", reference="T-1")
    note = services.credit_invoice(actor=SYSTEM, invoice_id=invoice.pk, wish=wish)
    assert (note.number, note.net, note.tax, note.total) == ("HAI-C-000001", D(10), D("1.9"), D("11.9"))
    assert wallet_of(paid).balance == before + D("11.90")
    again = services.credit_invoice(actor=SYSTEM, invoice_id=invoice.pk, wish=wish)
    assert again.pk == note.pk
    for amounts in ({1: D("2.35")}, {1: D(-1)}, {1: D("0.001")}, {9: D(1)}, {2: D(1)}, {}):
        with pytest.raises(DomainError):
            services.credit_invoice(
                actor=SYSTEM, invoice_id=invoice.pk, wish=CreditWish(amounts, "x", reference=str(amounts))
            )
    assert paper.credit_note_pdf(note).startswith(b"%PDF")
    assert sound()


def test_a_void_invoice_leaves_nothing_owed(paid):
    use(paid, hours=100, start=20)
    close()
    invoice = invoice_of(paid)
    due = invoice.amount_due
    assert due > 0
    note = services.void_invoice(actor=SYSTEM, invoice_id=invoice.pk, reason="wrong customer")
    invoice.refresh_from_db()
    assert (invoice.state, invoice.amount_due, note.total) == ("void", 0, invoice.total)
    assert note.to_balance == invoice.total - due
    assert account("receivable") == account("tax") == 0
    assert sound()


def test_what_was_given_up_may_still_be_paid(paid):
    use(paid, hours=100, start=20)
    close()
    invoice = invoice_of(paid)
    due = invoice.amount_due
    services.give_up_invoice(actor=SYSTEM, invoice_id=invoice.pk)
    assert (account("receivable"), account("bad_debt")) == (0, -due)
    got = services.settling.Received("bank-1", due + 5, services.settling.AccountKind.FUNDING, CLOSED)
    before = wallet_of(paid).balance
    for _twice in range(2):
        services.book_payment(actor=SYSTEM, invoice_id=invoice.pk, received=got)
    invoice.refresh_from_db()
    assert (invoice.state, account("bad_debt"), wallet_of(paid).balance - before) == ("paid", 0, 5)
    assert sound()


def test_the_files_agree_with_the_invoice(paid):
    use(paid, hours=3, product="disk", start=50) if make_price("disk", "0.5") else None
    close()
    invoice = invoice_of(paid)
    rows = paper.focus_rows([invoice])
    assert sum(D(row["BilledCost"]) for row in rows) == invoice.total
    assert len(paper.csv_of(invoice).splitlines()) == 1 + invoice.lines.count()
    assert invoice.content_hash.encode() in paper.json_of(invoice)
    assert paper.pdf(invoice).startswith(b"%PDF")


def test_paper_loads_nothing():
    with pytest.raises(typesetting.FatalURLFetchingError):
        typesetting.print_html('<img src="file:///etc/passwd">')


def test_invoices_are_mailed_once(paid, mailoutbox):
    close()
    assert mailing.mail_invoices(actor=SYSTEM) == 1
    assert mailing.mail_invoices(actor=SYSTEM) == 0
    [mail] = mailoutbox
    assert mail.to == ["books@example.com"]
    assert mail.attachments[0][0] == "HAI-000001.pdf"


def test_an_invoice_is_mailed_by_one_and_can_be_paid_meanwhile(paid, mailoutbox):
    close()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            name = f"hostedai.mail.invoicing.invoice.{invoice_of(paid).pk}"
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
            assert mailing.mail_invoices(actor=SYSTEM) == 0
            cursor.execute("SELECT pg_advisory_unlock_all()")
    finally:
        other.close()
    with CaptureQueriesContext(connection) as asked:
        assert mailing.mail_invoices(actor=SYSTEM) == 1
    said = [str(one["sql"]) for one in asked]
    locks = [one for one in said if "FOR UPDATE" in one and "invoicing_invoice" in one]
    assert (locks, len(mailoutbox)) == ([], 1)


def test_invoices_that_no_balance_covers_keep_no_other_waiting(paid, monkeypatch):
    owing = [make_team("12.35") for _team in range(3)]
    for team in owing:
        make_profile(team)
        use(team, hours=10)
    close()
    monkeypatch.setattr(reconcilers, "BATCH", 1)
    assert reconcilers.settle_open() == 0
    wallets.top_up(actor=SYSTEM, team=owing[1], amount=D(100), reason="paid")
    assert reconcilers.settle_open() == 1
    assert [invoice_of(team).state for team in owing] == ["open", "paid", "open"]


def test_months_begin_by_themselves_once():
    assert not reconcilers.begin_month(now=CLOSED)
    make_entity()
    assert reconcilers.begin_month(now=CLOSED)
    assert not reconcilers.begin_month(now=CLOSED)


def account(kind: str) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(p.amount), 0) FROM billing_posting p JOIN billing_account a"
            " ON a.id = p.account_id WHERE a.kind = %s",
            [kind],
        )
        return cursor.fetchone()[0]


def sound() -> bool:
    billing.cut_due(now=CLOSED)
    broken = [(one.name, one.examples) for one in proofs.verify() if not one.is_ok]
    assert not broken, broken
    return True
