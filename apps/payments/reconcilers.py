"""Speaking to payment providers: each pass looks at what is there and takes it over; it may be repeated,
lost, or run twice at once. No transaction is open while a provider is asked."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.billing.models import Wallet
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import DomainError
from apps.core.failpoints import failpoint
from apps.core.money import ZERO, plain
from apps.drivers import registry
from apps.drivers.errors import DriverError, Rejected
from apps.drivers.payments import Charge, PaymentDriver, PaymentSeen
from apps.invoicing.models import BillingProfile
from apps.payments.models import (
    AutoTopUp,
    Payment,
    PaymentCustomer,
    PaymentMethod,
    Reconciliation,
    Refund,
    WebhookEvent,
)
from apps.payments.selectors import providers
from apps.payments.services import comparing, methods, paying, refunds
from apps.payments.specs import OPEN_FOR, Wish, later, to_minor
from apps.payments.states import OPEN, PaymentState, Provider, RefundState
from apps.teams.states import TeamState

log = structlog.get_logger(__name__)

BATCH = 200
SPAN = timedelta(days=3)


def reconcile_payment(*, payment_id: str) -> None:
    """Begin a payment at its provider, or look what has become of it."""
    payment: Any = Payment.objects.select_related("team", "method").filter(pk=payment_id).first()
    if payment is None or payment.provider == Provider.BANK or not providers.is_open(payment.provider):
        return
    try:
        seen = _look(payment)
    except DriverError as error:
        log.warning("payment_not_reconciled", payment=payment_id, detail=error.detail)
        is_final = isinstance(error, Rejected)
        paying.postpone(actor=SYSTEM, payment_id=payment_id, problem=str(error), is_final=is_final)
        return
    failpoint("payments.payment.seen")
    if seen is not None:
        paying.apply_seen(actor=SYSTEM, payment_id=payment_id, seen=seen)
        failpoint("payments.payment.applied")


def reconcile_refund(*, refund_id: str) -> None:
    """Tell the provider of a refund, or look what has become of it."""
    refund: Any = Refund.objects.select_related("payment").filter(pk=refund_id).first()
    if refund is None or refund.state not in (RefundState.APPROVED, RefundState.WAITING):
        return
    payment = refund.payment
    if payment.provider == Provider.BANK or not providers.is_open(payment.provider):
        return
    driver = _driver(payment.provider)
    try:
        if refund.external_id:
            seen = driver.refund_seen(refund.external_id)
        else:
            amount = to_minor(refund.amount, refund.currency)
            seen = driver.refund(key=refund.pk, intent=payment.intent_id, amount=amount)
    except DriverError as error:
        is_final = isinstance(error, Rejected)
        refunds.postpone_refund(actor=SYSTEM, refund_id=refund_id, problem=str(error), is_final=is_final)
        return
    failpoint("payments.refund.seen")
    refunds.apply_refund(actor=SYSTEM, refund_id=refund_id, seen=seen)


def reconcile_customer(*, customer_id: str) -> None:
    """Make the team known to the provider, its page for saving a card, and see which cards it has."""
    customer: Any = PaymentCustomer.objects.select_related("team").filter(pk=customer_id).first()
    if customer is None or not providers.is_open(customer.provider):
        return
    driver = _driver(customer.provider)
    try:
        external = _customer_id(driver, customer)
        setup = None
        if customer.setup_wanted_at and not customer.setup_id:
            key = f"{customer.pk}-{customer.setup_wanted_at.timestamp():.0f}"
            setup = driver.setup(key=key, customer=external, return_url=_return_url())
        cards = driver.cards(external)
    except DriverError as error:
        due = db_now() + later(2)
        PaymentCustomer.objects.filter(pk=customer_id).update(problem=str(error)[:300], due_at=due)
        return
    customer.refresh_from_db()
    methods.apply_cards(actor=SYSTEM, customer=customer, cards=cards, setup=setup)


def detach_removed() -> None:
    """Have the provider forget the cards that were removed here."""
    rows: Any = PaymentMethod.objects.filter(removed_at__isnull=False, is_detached=False)
    for method in rows[:BATCH]:
        if not providers.is_open(method.provider):
            continue
        try:
            _driver(method.provider).detach(method.external_id)
        except DriverError as error:
            log.warning("card_not_detached", method=method.pk, detail=error.detail)
            continue
        PaymentMethod.objects.filter(pk=method.pk).update(is_detached=True)


def process_message(*, message_id: str) -> None:
    """Look at what a message is about. What is said in it is not believed."""
    message: Any = WebhookEvent.objects.filter(pk=message_id, processed_at=None).first()
    if message is None:
        return
    try:
        _go_and_look(message.body.get("kind", ""), message.object_id)
    except (DriverError, DomainError) as error:
        due = db_now() + later(message.attempts)
        WebhookEvent.objects.filter(pk=message_id).update(
            attempts=F("attempts") + 1, due_at=due, problem=str(error)[:300]
        )
        return
    failpoint("payments.message.looked")
    WebhookEvent.objects.filter(pk=message_id).update(processed_at=Now(), due_at=None, problem="")


def reconcile_due() -> int:
    """Everything that is due: messages, payments, refunds, customers; how many were looked at."""
    done = 0
    for model, work, name in (
        (WebhookEvent, process_message, "message_id"),
        (Payment, reconcile_payment, "payment_id"),
        (Refund, reconcile_refund, "refund_id"),
        (PaymentCustomer, reconcile_customer, "customer_id"),
    ):
        rows: Any = model.objects.filter(due_at__lte=Now()).order_by("due_at")
        for pk in rows.values_list("pk", flat=True)[:BATCH]:
            work(**{name: pk})
            done += 1
    return done


def top_up_low() -> int:
    """Begin an automatic top-up for every team that is below its threshold; one at a time per team."""
    return sum(_top_up(pk) for pk in list(_low().order_by("pk").values_list("pk", flat=True)))


def reconcile_books(*, now: datetime | None = None) -> Reconciliation | None:
    """Compare Stripe's last days, up to midnight, with the ledger; None when it is not set up."""
    if not providers.is_open(Provider.STRIPE):
        return None
    until = (now or db_now()).replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - SPAN
    try:
        lines = list(_driver(Provider.STRIPE).lines(since, until))
    except DriverError as error:
        log.warning("books_not_reconciled", detail=error.detail)
        return None
    return comparing.reconcile(actor=SYSTEM, provider=Provider.STRIPE, since=since, until=until, lines=lines)


def _look(payment: Any) -> PaymentSeen | None:
    driver = _driver(payment.provider)
    if payment.external_id:
        if payment.state == PaymentState.CANCELED or _is_stale(payment):
            return driver.cancel(payment.external_id)
        return driver.payment(payment.external_id)
    if payment.state not in OPEN:
        return None
    customer, _made = PaymentCustomer.objects.get_or_create(team=payment.team, provider=payment.provider)
    charge = Charge(
        key=payment.pk,
        customer=_customer_id(driver, customer),
        amount=to_minor(payment.amount, payment.currency),
        currency=payment.currency,
        description=_("Payment %(reference)s") % {"reference": payment.reference},
        return_url=_return_url(),
        method=payment.method.external_id if payment.method else "",
    )
    return driver.start(charge)


def _is_stale(payment: Any) -> bool:
    return payment.state in OPEN and db_now() - payment.created_at > OPEN_FOR


def _go_and_look(kind: str, subject: str) -> None:
    if kind == "payment":
        _look_at_payment(subject)
    elif kind == "refund":
        _look_at_refund(subject)
    elif kind == "dispute":
        seen = _driver(Provider.STRIPE).dispute(subject)
        _look_at_payment(seen.intent)
        refunds.apply_dispute(actor=SYSTEM, seen=seen)
    elif kind == "customer":
        for pk in PaymentCustomer.objects.filter(external_id=subject).values_list("pk", flat=True):
            reconcile_customer(customer_id=pk)


def _look_at_payment(subject: str) -> None:
    """By the provider's id, or by ours in what the provider has there; strange payments are none of ours."""
    rows: Any = Payment.objects.filter(provider=Provider.STRIPE)
    known = rows.filter(external_id=subject).first() or rows.filter(intent_id=subject).first()
    if known is not None and known.external_id:
        reconcile_payment(payment_id=known.pk)
        return
    seen = _driver(Provider.STRIPE).payment(subject)
    known = rows.filter(pk=seen.key).first() if seen.key.startswith("pay_") else None
    if known is None:
        return
    paying.apply_seen(actor=SYSTEM, payment_id=known.pk, seen=seen)


def _look_at_refund(subject: str) -> None:
    seen = _driver(Provider.STRIPE).refund_seen(subject)
    rows: Any = Refund.objects.all()
    known = rows.filter(external_id=subject).first()
    if known is None and seen.key.startswith("rfd_"):
        known = rows.filter(pk=seen.key).first()
    if known is not None:
        refunds.apply_refund(actor=SYSTEM, refund_id=known.pk, seen=seen)


def _customer_id(driver: PaymentDriver, customer: Any) -> str:
    """The provider's id of the team, asked for once."""
    if customer.external_id:
        return str(customer.external_id)
    profile = BillingProfile.objects.filter(team_id=customer.team_id).first()
    name = profile.name if profile else customer.team.name
    email = profile.email if profile else ""
    found = driver.customer(key=customer.pk, name=name, email=email)
    PaymentCustomer.objects.filter(pk=customer.pk).update(external_id=found)
    return found


def _low() -> "QuerySet[AutoTopUp]":
    """The settings of teams that are below their threshold."""
    free = F("balance") - F("held") + F("credit_limit")
    wallets = Wallet.objects.alias(free=free).filter(team=OuterRef("team"), free__lt=OuterRef("threshold"))
    asked = AutoTopUp.objects.exclude(team__state=TeamState.CLOSED)
    return asked.filter(Exists(wallets), is_enabled=True, paused_because="")


@transaction.atomic
def _top_up(pk: object) -> bool:
    """Looks again once the setting is locked: another poller may have been quicker."""
    AutoTopUp.objects.select_for_update().get(pk=pk)
    auto: Any = _low().select_related("team").filter(pk=pk).first()
    begun: Any = Payment.objects.filter(team_id=auto and auto.team_id, is_automatic=True)
    if auto is None or begun.filter(state__in=OPEN).exists():
        return False
    month = db_now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    paid = begun.filter(state=PaymentState.SUCCEEDED, created_at__gte=month).aggregate(s=Sum("amount"))["s"]
    if (paid or ZERO) + auto.amount > auto.monthly_most:
        return False
    method: Any = PaymentMethod.objects.filter(team_id=auto.team_id, is_default=True, removed_at=None).first()
    if method is None:
        _pause(auto.team_id, _("There is no card to charge."))
        return False
    wish = Wish(method.provider, auto.amount, method.pk, is_automatic=True)
    try:
        paying.begin_top_up(actor=SYSTEM, team=auto.team, wish=wish)
    except DomainError as error:
        _pause(auto.team_id, error.message)
        return False
    log.info("auto_top_up", team=auto.team_id, amount=plain(auto.amount))
    return True


def _pause(team_id: str, why: str) -> None:
    AutoTopUp.objects.filter(team_id=team_id).update(paused_because=why[:300])


def _return_url() -> str:
    return f"{settings.PUBLIC_URL}/payments/done"


def _driver(provider: str) -> PaymentDriver:
    if provider == Provider.STRIPE:
        return _stripe(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_URL)
    return registry.payments_for(str(provider), {})


@cache
def _stripe(key: str, api_url: str) -> PaymentDriver:
    return registry.payments_for("stripe", {"secret_key": key, "api_url": api_url})
