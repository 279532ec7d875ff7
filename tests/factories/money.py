"""One of every row of invoicing and payments, for tests that only need something to ask for."""

from datetime import timedelta
from decimal import Decimal

from apps.core.ids import new_id
from apps.invoicing.models import BillingProfile, CreditNote, Invoice, InvoiceLine, LegalEntity
from apps.payments.models import Dispute, Payment, PaymentMethod, Refund
from apps.teams.models import Team
from tests.factories.invoicing import CLOSED, MARCH, make_entity

PARTY = {"name": "Somebody", "country": "DE", "tax_id": "", "team_name": "Somebody"}


def furnish(team: Team) -> None:
    """Give the team a profile, an open invoice, a credit note, a card, a payment, a refund and a dispute."""
    entity = LegalEntity.objects.first() or make_entity()
    serial = Invoice.objects.count() + 1
    BillingProfile.objects.create(team=team, name=team.name, country="DE")
    month = {"period_start": MARCH.start, "period_end": MARCH.end}
    invoice = Invoice.objects.create(entity=entity, team=team, currency=team.currency, **month)
    InvoiceLine.objects.create(
        invoice=invoice, team=team, position=1, kind="usage", description="A machine",
        quantity=Decimal(1), unit_price=Decimal(10), exact=Decimal(10), amount=Decimal(10),
    )  # fmt: skip
    final = {
        "state": "open",
        "serial": serial,
        "number": f"HAI-{serial:06d}",
        "subtotal": Decimal(10),
        "total": Decimal(10),
        "due_receivable": Decimal(10),
        "snapshot": {"seller": PARTY, "customer": PARTY, "notes": [], "is_inclusive": False},
        "content_hash": "0" * 64,
        "finalized_at": CLOSED,
        "due_at": CLOSED + timedelta(days=14),
    }
    Invoice.objects.filter(pk=invoice.pk).update(**final)
    invoice.refresh_from_db()
    CreditNote.objects.create(
        invoice=invoice,
        entity=entity,
        team=team,
        serial=serial,
        number=f"HAI-C-{serial:06d}",
        reason="A test",
        currency=team.currency,
        lines=[],
        net=Decimal(1),
        tax=Decimal(0),
        total=Decimal(1),
        to_balance=Decimal(0),
        snapshot=invoice.snapshot,
        content_hash="0" * 64,
        transaction_id=new_id("ltx"),
        created_by="test",
        issued_at=CLOSED,
    )
    method = PaymentMethod.objects.create(
        team=team, provider="fake", external_id=new_id("card"), brand="visa", last4="4242", is_default=True
    )
    payment = Payment.objects.create(
        team=team,
        provider="bank",
        purpose="top_up",
        method=method,
        state="waiting",
        currency=team.currency,
        amount=Decimal(25),
        reference=f"P-{serial:08d}",
        created_by="test",
        due_at=None,
    )
    Refund.objects.create(
        payment=payment,
        team=team,
        state="requested",
        currency=team.currency,
        amount=Decimal(5),
        reason="A test",
        requested_by="test",
        requester_id="nobody",
        needs_approval=True,
    )
    Dispute.objects.create(
        payment=payment,
        team=team,
        currency=team.currency,
        amount=Decimal(5),
        external_id=new_id("dp"),
        transaction_id=new_id("ltx"),
    )
