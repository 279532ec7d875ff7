"""`billing_verify` finds every kind of damage planted in invoices."""

from decimal import Decimal

import pytest
from django.db import connection

from apps.billing.selectors import proofs as books
from apps.billing.services import charging
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.invoicing import services
from apps.invoicing.selectors import proofs
from apps.invoicing.services import CreditWish
from tests.factories.billing import after, begin, make_price, make_team, resource
from tests.factories.invoicing import close, invoice_of, make_entity, make_profile, make_tax

pytestmark = pytest.mark.django_db


@pytest.fixture
def month():
    """Three teams' invoices: two paid, one open; a credit note for the first."""
    make_entity()
    make_tax("DE", "0.19")
    make_price("type:small", "1.2345")
    make_price("disk", "0.01")
    teams = [make_team("100"), make_team("50"), make_team("1")]
    for team in teams:
        make_profile(team)
        machine = resource()
        begin(team, machine, Rate("type:small"), Rate("disk", Decimal(20)))
        charging.end(resource_id=machine, now=after(hours=7))
    close()
    for amount in ("0.50", "0.75"):
        wish = CreditWish({1: Decimal(amount)}, "outage")
        services.credit_invoice(actor=SYSTEM, invoice_id=invoice_of(teams[0]).pk, wish=wish)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def failed() -> set[str]:
    return {finding.name for finding in books.verify() if not finding.is_ok}


def test_sound_invoices_are_proved(month):
    assert not failed()


DAMAGE = {
    "invoice_lines": "UPDATE invoicing_invoicedusage SET position = 2 WHERE position = 1",
    "invoice_rounding": "UPDATE invoicing_invoiceline SET amount = amount + 0.01 WHERE kind = 'usage'",
    "invoice_sums": "UPDATE invoicing_invoice SET subtotal = subtotal + 0.01",
    "invoice_gapless": "UPDATE invoicing_invoice SET serial = serial + 1 WHERE serial = 3",
    "invoice_chain": "UPDATE invoicing_invoice SET previous_hash = content_hash WHERE serial = 2",
    "invoice_ledger": "UPDATE invoicing_invoice SET transaction_id = gen_random_uuid() WHERE serial = 1",
    "invoice_receivable": "UPDATE invoicing_invoice SET due_receivable = due_receivable + 1"
    " WHERE state = 'open'",
    "invoice_paid": "UPDATE invoicing_invoice SET due_balance = due_balance + 1 WHERE state = 'paid'",
    "credit_notes": "UPDATE invoicing_creditnote SET total = 1000",
    "invoice_hash": "UPDATE invoicing_invoiceline SET description = 'gold'",
    "invoice_focus": "UPDATE invoicing_invoice SET total = total + 1",
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_planted_damage_is_found(month, name):
    with connection.cursor() as cursor:
        for table in ("invoice", "invoiceline", "invoicedusage", "creditnote"):
            cursor.execute(f"ALTER TABLE invoicing_{table} DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE invoicing_invoice DROP CONSTRAINT invoicing_amounts")
        cursor.execute(DAMAGE[name])
        assert cursor.rowcount > 0
    assert name in failed()


def test_every_check_is_tried():
    assert set(DAMAGE) == {*proofs.CHECKS, "invoice_hash", "invoice_focus"}
