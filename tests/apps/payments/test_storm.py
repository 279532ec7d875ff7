"""Fifty messages of a provider, each delivered five times in any order: the ledger is the same."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from apps.billing.models import Posting, Transaction
from apps.core.actor import SYSTEM
from apps.payments import reconcilers, services
from apps.payments.models import Dispute, Payment, PaymentMethod, Refund, WebhookEvent
from tests.apps.payments.conftest import begin, save_card
from tests.apps.payments.double import DECLINED, Double
from tests.factories.billing import wallet_of

pytestmark = pytest.mark.django_db

SEEDS = int(os.environ.get("PAYMENT_SEEDS", "3"))
TIMES = 5


@pytest.fixture
def storm(team: Any, stripe: Double) -> list[dict[str, Any]]:
    """Payments, refunds and disputes that have happened at the provider and are unknown here."""
    save_card(team, stripe)
    card = PaymentMethod.objects.get()
    known = begin(team, "2000", method_id=card.pk)
    refunds = [
        services.request_refund(actor=SYSTEM, payment_id=known.pk, amount=Decimal(n + 1), reason="storm")
        for n in range(6)
    ]
    for n, refund in enumerate(refunds):
        reconcilers.reconcile_refund(refund_id=refund.pk)
        refund.refresh_from_db()
        stripe.settle_refund(refund.external_id, good=n % 3 != 0)
    pages = [begin(team, str(100 + n)) for n in range(12)]
    for n, payment in enumerate(pages[:10]):
        if n % 4 == 1:
            stripe.pay(payment.external_id, DECLINED)
        stripe.pay(payment.external_id)
    for payment in pages[10:]:
        stripe._expire(stripe.rows[payment.external_id])
    intents = [stripe.rows[payment.external_id]["payment_intent"] for payment in pages[:6]]
    for n, dispute in enumerate([stripe.contest(intent, 1000 + n) for n, intent in enumerate(intents)]):
        if n % 3:
            stripe.decide(dispute, won=n % 3 == 1)
    return stripe.events


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def deliver(stripe: Double, events: list[dict[str, Any]], seed: int) -> None:
    """In any order, looked into at once, later, or only by the poller."""
    chance = random.Random(seed)
    waiting: list[str] = []
    queue = [stripe.signed(event) for event in events for _each in range(TIMES)]
    chance.shuffle(queue)
    for body, signature in queue:
        if services.receive_message(actor=SYSTEM, payload=body, signature=signature):
            waiting.append(WebhookEvent.objects.latest("pk").pk)
        if waiting and chance.random() < 0.3:
            reconcilers.process_message(message_id=waiting.pop(chance.randrange(len(waiting))))
    for message in waiting:
        reconcilers.process_message(message_id=message)


def books() -> dict[str, Any]:
    """The whole ledger, and what became of everything."""
    postings: dict[str, list[Any]] = {}
    for tx, kind, amount in Posting.objects.values_list("transaction_id", "account__kind", "amount"):
        postings.setdefault(tx, []).append((kind, amount))
    rows = Transaction.objects.values_list("pk", "kind", "reference", "booked_at")
    return {
        "ledger": {
            (pk, kind, reference, None if kind == "correction" else at, tuple(sorted(postings[pk])))
            for pk, kind, reference, at in rows
        },
        "payments": set(Payment.objects.values_list("pk", "state", "transaction_id")),
        "refunds": set(Refund.objects.values_list("pk", "state", "transaction_id")),
        "disputes": set(Dispute.objects.values_list("pk", "state", "reversal_id")),
    }


def test_any_order_of_messages_gives_the_same_ledger(team, stripe: Double, storm):
    assert len(storm) >= 50
    found = []
    for seed in range(SEEDS):
        with undone():
            deliver(stripe, storm, seed)
            assert WebhookEvent.objects.filter(processed_at=None).count() == 0
            assert set(WebhookEvent.objects.values_list("deliveries", flat=True)) == {TIMES}
            found.append((books(), wallet_of(team).balance))
    assert all(one == found[0] for one in found)
    states = {state for _pk, state, _tx in found[0][0]["payments"]}
    assert states == {"succeeded", "canceled"}
    assert {state for _pk, state, _tx in found[0][0]["disputes"]} == {"open", "won", "lost"}
