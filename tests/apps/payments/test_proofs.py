"""`billing_verify` finds every kind of damage planted in payments."""

from decimal import Decimal

import pytest
from django.db import connection

from apps.billing.selectors import proofs as books
from apps.core.actor import SYSTEM, Actor
from apps.core.ids import new_id
from apps.payments import reconcilers, services
from apps.payments.selectors import proofs
from apps.payments.services import refunds
from tests.apps.payments.conftest import begin, look
from tests.apps.payments.double import Double

pytestmark = pytest.mark.django_db
BERT = Actor("Bert", SYSTEM.grants, kind="user", user_id=new_id("usr"))


@pytest.fixture
def moved(team, stripe: Double):
    """A payment, a small and a large refund, a dispute that was won and one that is open."""
    paid = [begin(team, "2000") for _each in range(2)]
    for payment in paid:
        stripe.pay(payment.external_id)
        look(payment)
    services.request_refund(actor=SYSTEM, payment_id=paid[0].pk, amount=Decimal(10), reason="asked for")
    large = services.request_refund(
        actor=SYSTEM, payment_id=paid[0].pk, amount=Decimal(600), reason="closing"
    )
    services.approve_refund(actor=BERT, refund_id=large.pk)
    for won in (True, None):
        dispute = stripe.contest(paid[1].intent_id, 10_000)
        if won is not None:
            stripe.decide(dispute, won=won)
        seen = reconcilers._driver("stripe").dispute(dispute)
        refunds.apply_dispute(actor=SYSTEM, seen=seen)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def failed() -> set[str]:
    return {finding.name for finding in books.verify() if not finding.is_ok}


def test_sound_payments_are_proved(moved):
    assert not failed()


DAMAGE = {
    "payment_booked": "UPDATE payments_refund SET transaction_id = gen_random_uuid()",
    "payment_amount": "UPDATE payments_payment SET amount = amount + 1",
    "payment_once": "UPDATE payments_dispute SET reversal_id = transaction_id WHERE reversal_id IS NOT NULL",
    "payment_refunded": "UPDATE payments_payment SET refunded = refunded + 1 WHERE refunded > 0",
    "payment_two_people": "UPDATE payments_refund SET decider_id = requester_id WHERE needs_approval",
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_planted_damage_is_found(moved, name):
    with connection.cursor() as cursor:
        for table in ("payment", "refund", "dispute"):
            cursor.execute(f"ALTER TABLE payments_{table} DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE payments_refund DROP CONSTRAINT payments_refund_two_people")
        cursor.execute(DAMAGE[name])
        assert cursor.rowcount > 0
    assert name in failed()


def test_every_check_is_tried():
    assert set(DAMAGE) == set(proofs.CHECKS)
