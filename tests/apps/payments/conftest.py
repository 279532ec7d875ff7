"""A Stripe of our own, and a team that pays through it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from apps.core.actor import SYSTEM
from apps.payments import reconcilers, services
from apps.payments.models import Payment, PaymentCustomer
from apps.payments.specs import Wish
from tests.apps.payments import double
from tests.factories.billing import make_team


@pytest.fixture(scope="module")
def server() -> Iterator[double.Server]:
    made = double.Server()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def stripe(server: double.Server, settings: Any) -> double.Double:
    """An empty Stripe, and the portal set up to use it."""
    server.double.__init__()
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = double.KEY, double.SECRET
    settings.STRIPE_API_URL = server.url
    return server.double


@pytest.fixture
def team(db: None) -> Any:
    return make_team()


def begin(team: Any, amount: str = "50", **wish: Any) -> Payment:
    """A top-up that the provider knows of."""
    payment = services.begin_top_up(actor=SYSTEM, team=team, wish=Wish("stripe", Decimal(amount), **wish))
    return look(payment)


def look(payment: Any) -> Payment:
    reconcilers.reconcile_payment(payment_id=payment.pk)
    payment.refresh_from_db()
    return payment


def save_card(team: Any, stripe: double.Double, last4: str = double.GOOD) -> Any:
    """The team saves a card on the provider's page."""
    customer = services.begin_card_setup(actor=SYSTEM, team=team)
    reconcilers.reconcile_customer(customer_id=customer.pk)
    customer.refresh_from_db()
    card = stripe.finish_setup(customer.setup_id, last4)
    reconcilers.reconcile_customer(customer_id=customer.pk)
    return PaymentCustomer.objects.get(pk=customer.pk), card
