"""Asking for a payment, and booking it when it has come. The provider is spoken to by reconcilers."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, TransactionKind
from apps.billing.services import posting
from apps.billing.services.posting import Entry
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, NotFound
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers.payments import Outcome, PaymentSeen
from apps.invoicing import services as invoicing
from apps.invoicing.models import Invoice
from apps.invoicing.services.settling import Received
from apps.operations.services import emit
from apps.payments.errors import BadAmount, NoMethod, ProviderMissing
from apps.payments.models import AutoTopUp, Payment, PaymentMethod
from apps.payments.selectors import providers
from apps.payments.specs import LEAST, MOST, Wish, from_minor, later, new_reference, unit_of
from apps.payments.states import PAYMENT, PaymentState, Provider, Purpose
from apps.teams.models import Team

_EVENT = {Outcome.SUCCEEDED: "succeed", Outcome.FAILED: "fail", Outcome.CANCELED: "cancel"}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A payment's money, where it lies and since when."""

    amount: Decimal
    account: AccountKind
    at: datetime


@transaction.atomic
def begin_top_up(*, actor: Actor, team: Team, wish: Wish) -> Payment:
    """Ask for money for the team's balance. Where to pay stands on the payment a moment later."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    return _begin(actor, team, wish, None)


@transaction.atomic
def pay_invoice(
    *, actor: Actor, invoice_id: str, team: Team, provider: str, method_id: str | None = None
) -> Payment:
    """Ask for what an open invoice is still owed."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    rows = Invoice.objects.select_for_update().filter(pk=invoice_id, team=team)
    invoice: Invoice | None = rows.first()
    if invoice is None:
        raise NotFound(_("There is no such invoice."))
    if not invoice.amount_due:
        raise Conflict(_("There is nothing to pay."), code="nothing_due")
    waiting: Any = Payment.objects.open().filter(invoice=invoice).exclude(provider=Provider.BANK)
    if waiting.exists():
        raise Conflict(_("A payment for this invoice is under way."), code="payment_under_way")
    unit = unit_of(invoice.currency, is_card=provider != Provider.BANK)
    due = invoice.amount_due.quantize(unit, ROUND_CEILING)  # what it is more goes to the balance
    return _begin(actor, team, Wish(provider, due, method_id), invoice)


@transaction.atomic
def cancel_payment(*, actor: Actor, payment_id: str, team: Team | None = None) -> Payment:
    """Call a waiting payment off; one that has come after all is booked nevertheless."""
    payment = _lock(payment_id)
    if team is not None and payment.team_id != team.pk:
        raise NotFound(_("There is no such payment."))
    actor.require(Permission.BILLING_MANAGE, payment.team.scope)
    payment.state = PAYMENT.target("cancel", payment.state)
    # A page that the provider keeps open is closed there by a reconciler.
    payment.due_at = db_now() if payment.external_id else None
    payment.save(update_fields=["state", "due_at"])
    _pause_automatic(payment)
    audit.record(actor=actor, action="payment.cancelled", target=payment)
    emit(type="payment.canceled", subject=payment.pk, team_id=payment.team_id, data=_shown(payment))
    return payment


@transaction.atomic
def record_transfer(*, actor: Actor, payment_id: str, received_at: datetime | None = None) -> Payment:
    """Note that a bank transfer has come in, for exactly what was asked; again changes nothing."""
    actor.require(Permission.WALLET_CREDIT)
    payment = _lock(payment_id)
    if payment.provider != Provider.BANK:
        raise Conflict(_("Only bank transfers are recorded by hand."), code="not_a_transfer")
    if payment.state != PaymentState.SUCCEEDED:
        moment = received_at or db_now()
        _succeed(payment, Arrived(payment.amount, AccountKind.FUNDING, moment), actor)
    return payment


@transaction.atomic
def apply_seen(*, actor: Actor, payment_id: str, seen: PaymentSeen) -> Payment:
    """Take over what the provider says of a payment; whatever is repeated or comes late changes nothing."""
    actor.require(Permission.BILLING_MANAGE)
    payment = _lock(payment_id)
    payment.external_id = payment.external_id or seen.id
    payment.intent_id = payment.intent_id or seen.intent or None
    payment.pay_url = seen.pay_url if seen.outcome == Outcome.WAITING else ""
    payment.attempts += 1
    if seen.outcome == Outcome.SUCCEEDED:
        if payment.state != PaymentState.SUCCEEDED:
            _succeed(payment, _arrived(payment, seen), actor)
    elif seen.outcome == Outcome.WAITING:
        _wait(payment)
    elif PAYMENT.allows(_EVENT[seen.outcome], payment.state):
        _end(payment, seen)
    else:
        payment.due_at = None
    payment.save()
    return payment


@transaction.atomic
def postpone(*, actor: Actor, payment_id: str, problem: str, is_final: bool = False) -> None:
    """The provider could not be asked, or refuses the request for good."""
    actor.require(Permission.BILLING_MANAGE)
    payment = _lock(payment_id)
    payment.problem = problem[:300]
    payment.attempts += 1
    payment.due_at = db_now() + later(payment.attempts)
    if is_final and PAYMENT.allows("fail", payment.state):
        payment.state = PAYMENT.target("fail", payment.state)
        payment.problem_code, payment.due_at = "rejected", None
        data = {**_shown(payment), "message": payment.problem}
        emit(type="payment.failed", subject=payment.pk, team_id=payment.team_id, data=data)
        _pause_automatic(payment)
    elif is_final:
        payment.due_at = None
    payment.save()


def _begin(actor: Actor, team: Team, wish: Wish, invoice: Invoice | None) -> Payment:
    if not providers.is_open(wish.provider):
        raise ProviderMissing(_("This way of paying is not set up here."), field="provider")
    is_bank = wish.provider == Provider.BANK
    unit = unit_of(team.currency, is_card=not is_bank)
    _check_amount(wish.amount, unit, least=ZERO if invoice else LEAST)
    method = _method(team, wish)
    payment: Any = Payment.objects.create(
        team=team,
        provider=wish.provider,
        purpose=Purpose.INVOICE if invoice else Purpose.TOP_UP,
        invoice=invoice,
        method=method,
        is_automatic=wish.is_automatic,
        state=PaymentState.WAITING if is_bank else PaymentState.PENDING,
        due_at=None if is_bank else db_now(),
        currency=team.currency,
        amount=wish.amount,
        reference=new_reference(),
        created_by=actor.label[:200],
    )
    audit.record(actor=actor, action="payment.begun", target=payment, amount=plain(wish.amount))
    emit(type="payment.begun", subject=payment.pk, team_id=team.pk, data=_shown(payment))
    enqueue("payments.reconcile", payment_id=payment.pk)
    made: Payment = payment
    return made


def _method(team: Team, wish: Wish) -> PaymentMethod | None:
    if wish.method_id is None:
        return None
    rows: Any = PaymentMethod.objects.filter(team=team, provider=wish.provider, removed_at=None)
    found: PaymentMethod | None = rows.filter(pk=wish.method_id).first()
    if found is None:
        raise NoMethod(_("There is no such card."), field="method")
    return found


def _check_amount(amount: Decimal, unit: Decimal, *, least: Decimal) -> None:
    if not amount.is_finite() or not least <= amount <= MOST or amount <= 0:
        raise BadAmount(
            _("Pay between %(least)s and %(most)s.") % {"least": plain(LEAST), "most": plain(MOST)},
            field="amount",
        )
    if amount % unit:
        raise BadAmount(_("Pay a multiple of %(unit)s this way.") % {"unit": plain(unit)}, field="amount")


def _arrived(payment: Payment, seen: PaymentSeen) -> Arrived:
    got = from_minor(seen.amount, seen.currency)
    if (got, seen.currency) != (payment.amount, payment.currency):
        raise Conflict(
            _("The provider took %(got)s %(currency)s.") % {"got": plain(got), "currency": seen.currency},
            code="other_amount",
        )
    return Arrived(got, AccountKind.CLEARING, seen.at)


def _succeed(payment: Payment, arrived: Arrived, actor: Actor) -> None:
    """One ledger transaction, whose id follows from the payment's."""
    about = _("Payment %(reference)s") % {"reference": payment.reference}
    if payment.invoice_id:
        received = Received(str(payment.pk), arrived.amount, arrived.account, arrived.at, about)
        tx = invoicing.book_payment(actor=SYSTEM, invoice_id=payment.invoice_id, received=received)
    else:
        legs = {arrived.account: -arrived.amount, AccountKind.CUSTOMER: arrived.amount}
        entry = Entry(TransactionKind.PAYMENT, str(payment.pk), legs, about, arrived.at)
        tx = posting.book(team_id=payment.team_id, entry=entry, by=payment.created_by).transaction.pk
    payment.state = PAYMENT.target("succeed", payment.state)
    payment.transaction_id, payment.succeeded_at = tx, arrived.at
    payment.due_at, payment.problem, payment.problem_code = None, "", ""
    payment.save()
    shown = _shown(payment)
    audit.record(actor=actor, action="payment.received", target=payment, **shown)
    emit(type="payment.succeeded", subject=payment.pk, team_id=payment.team_id, data=shown)
    emit(type="wallet.top_up", subject=payment.team_id, team_id=payment.team_id, data=shown)
    enqueue("invoicing.settle")


def _shown(payment: Payment) -> dict[str, str]:
    """What an event says of it."""
    amount, reference = plain(payment.amount), payment.reference
    return {"amount": amount, "currency": payment.currency, "reference": reference}


def _wait(payment: Payment) -> None:
    if payment.state == PaymentState.PENDING:
        payment.state = PAYMENT.target("wait", payment.state)
        emit(type="payment.waiting", subject=payment.pk, team_id=payment.team_id, data=_shown(payment))
    is_open = payment.state in (PaymentState.PENDING, PaymentState.WAITING)
    payment.due_at = db_now() + later(payment.attempts) if is_open else None


def _end(payment: Payment, seen: PaymentSeen) -> None:
    payment.state = PAYMENT.target(_EVENT[seen.outcome], payment.state)
    payment.problem_code, payment.problem = seen.code[:60], seen.message[:300]
    payment.due_at = None
    emit(
        type=f"payment.{payment.state}",
        subject=payment.pk,
        team_id=payment.team_id,
        data={**_shown(payment), "code": seen.code, "message": seen.message},
    )
    _pause_automatic(payment)


def _pause_automatic(payment: Payment) -> None:
    """What came to nothing is not tried again until somebody has looked."""
    if payment.is_automatic:
        why = payment.problem or _("The card was refused.")
        AutoTopUp.objects.filter(team_id=payment.team_id).update(paused_because=why[:300])


def _lock(payment_id: str) -> Payment:
    rows = Payment.objects.select_for_update(of=("self",)).select_related("team")
    found: Payment | None = rows.filter(pk=payment_id).first()
    if found is None:
        raise NotFound(_("There is no such payment."))
    return found
