"""Giving money back, and what happens when a cardholder takes it back."""

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, Posting, TransactionKind
from apps.billing.services import grants, posting
from apps.billing.services.posting import Entry
from apps.billing.specs import derived_uuid
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.ids import encode
from apps.core.money import ZERO, plain, round_minor
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers.payments import DisputeSeen, Outcome, RefundSeen
from apps.operations.services import emit
from apps.payments.errors import BadAmount, NotRefundable, SamePerson
from apps.payments.models import Dispute, Payment, Refund
from apps.payments.selectors.providers import refund_limit
from apps.payments.selectors.rows import refundable
from apps.payments.specs import MOST, from_minor, later, unit_of
from apps.payments.states import DISPUTE, REFUND, DisputeState, Provider, RefundState


@transaction.atomic
def request_refund(*, actor: Actor, payment_id: str, amount: Decimal, reason: str) -> Refund:
    """Give part of a payment back to where it came from, out of the team's balance.

    When all that goes back of the payment is above the limit it waits until another person agrees; nothing
    moves before.
    """
    actor.require(Permission.WALLET_CREDIT)
    payment = _lock_payment(payment_id)
    unit = unit_of(payment.currency, is_card=payment.provider != Provider.BANK)
    if not amount.is_finite() or not 0 < amount <= MOST or amount % unit:
        raise BadAmount(
            _("Give back a positive multiple of %(unit)s.") % {"unit": plain(unit)}, field="amount"
        )
    left = refundable(payment)
    if amount > left:
        raise NotRefundable(_("So much of this payment is not left."), field="amount")
    needs_approval = payment.amount - left + amount > refund_limit(payment.currency)
    refund: Any = Refund.objects.create(
        payment=payment,
        team_id=payment.team_id,
        state=RefundState.REQUESTED if needs_approval else RefundState.APPROVED,
        currency=payment.currency,
        amount=amount,
        reason=reason[:200],
        requested_by=actor.label[:200],
        requester_id=_person(actor),
        needs_approval=needs_approval,
    )
    audit.record(actor=actor, action="refund.requested", target=refund, amount=plain(amount), reason=reason)
    emit(type="refund.requested", subject=refund.pk, team_id=payment.team_id, data=_shown(refund))
    made: Refund = refund
    if not needs_approval:
        _send_off(made, payment, actor)
    return made


@transaction.atomic
def approve_refund(*, actor: Actor, refund_id: str) -> Refund:
    """Agree to a refund that somebody else has asked for; the money leaves the balance now."""
    actor.require(Permission.WALLET_CREDIT)
    refund, payment = _lock(refund_id)
    if _person(actor) == refund.requester_id:
        raise SamePerson(_("Somebody else has to approve what you asked for."))
    refund.state = REFUND.target("approve", refund.state)
    refund.decided_by, refund.decider_id = actor.label[:200], _person(actor)
    refund.save()
    if refund.amount > refundable(payment):  # which this request counts against no longer
        raise NotRefundable(_("So much of this payment is not left."))
    audit.record(actor=actor, action="refund.approved", target=refund)
    _send_off(refund, payment, actor)
    return refund


@transaction.atomic
def reject_refund(*, actor: Actor, refund_id: str) -> Refund:
    """Say no to a refund, or take one's own request back."""
    actor.require(Permission.WALLET_CREDIT)
    refund, _payment = _lock(refund_id)
    refund.state = REFUND.target("reject", refund.state)
    refund.decided_by, refund.decider_id = actor.label[:200], _person(actor)
    refund.finished_at = db_now()
    refund.save()
    audit.record(actor=actor, action="refund.rejected", target=refund)
    emit(type="refund.rejected", subject=refund.pk, team_id=refund.team_id, data=_shown(refund))
    return refund


@transaction.atomic
def apply_refund(*, actor: Actor, refund_id: str, seen: RefundSeen) -> Refund:
    """Take over what the provider says of a refund; one that failed puts the money back on the balance."""
    actor.require(Permission.BILLING_MANAGE)
    refund, payment = _lock(refund_id)
    refund.external_id = refund.external_id or seen.id
    refund.attempts += 1
    event = {Outcome.SUCCEEDED: "succeed", Outcome.WAITING: "wait"}.get(seen.outcome, "fail")
    is_news = REFUND.allows(event, refund.state)
    if is_news:
        refund.state = REFUND.target(event, refund.state)
        emit(type=f"refund.{refund.state}", subject=refund.pk, team_id=refund.team_id, data=_shown(refund))
    if is_news and event == "fail":
        refund.problem = seen.message[:300]
        _take_back(refund, payment, actor)
    if refund.state in (RefundState.SUCCEEDED, RefundState.FAILED):
        refund.due_at, refund.finished_at = None, refund.finished_at or db_now()
    else:
        refund.due_at = db_now() + later(refund.attempts)
    refund.save()
    return refund


@transaction.atomic
def postpone_refund(*, actor: Actor, refund_id: str, problem: str, is_final: bool = False) -> None:
    """The provider could not be asked, or will never do it: then the money returns to the balance."""
    actor.require(Permission.BILLING_MANAGE)
    refund, payment = _lock(refund_id)
    refund.problem, refund.attempts = problem[:300], refund.attempts + 1
    refund.due_at = db_now() + later(refund.attempts)
    if is_final and REFUND.allows("fail", refund.state):
        refund.state, refund.due_at = REFUND.target("fail", refund.state), None
        refund.finished_at = db_now()
        _take_back(refund, payment, actor)
    refund.save()


@transaction.atomic
def apply_dispute(*, actor: Actor, seen: DisputeSeen) -> Dispute:
    """Take over a dispute: its money leaves the balance when it opens and returns when it is won.

    What the balance does not cover is booked as lost. Whatever comes twice or late changes nothing.
    """
    actor.require(Permission.BILLING_MANAGE)
    payment: Any = Payment.objects.select_for_update().filter(intent_id=seen.intent).first()
    if payment is None:
        raise NotFound(_("There is no such payment."))
    dispute: Any = Dispute.objects.filter(external_id=seen.id).first()
    if dispute is None:
        dispute = _open(payment, seen, actor)
    if dispute.state == DisputeState.OPEN and seen.outcome != Outcome.WAITING:
        event = "win" if seen.outcome == Outcome.SUCCEEDED else "lose"
        dispute.state = DISPUTE.target(event, dispute.state)
        dispute.decided_at = db_now()
        if event == "win":
            dispute.reversal_id = _reverse(dispute, seen)
        dispute.save()
        emit(
            type=f"dispute.{dispute.state}", subject=dispute.pk, team_id=dispute.team_id, data=_shown(dispute)
        )
    found: Dispute = dispute
    return found


def _open(payment: Payment, seen: DisputeSeen, actor: Actor) -> Dispute:
    amount = from_minor(seen.amount, seen.currency)
    legs = {AccountKind.CUSTOMER: -amount, AccountKind.CLEARING: amount}
    about = _("Payment %(reference)s was disputed") % {"reference": payment.reference}
    entry = Entry(TransactionKind.DISPUTE, seen.id, legs, about, seen.at, AccountKind.BAD_DEBT)
    booked = posting.book(team_id=payment.team_id, entry=entry, by="")
    made: Any = Dispute.objects.create(
        pk=encode("dsp", derived_uuid(seen.at, "dispute", seen.id)),
        payment=payment,
        team_id=payment.team_id,
        currency=seen.currency,
        amount=amount,
        reason=seen.reason[:60],
        external_id=seen.id,
        transaction_id=booked.transaction.pk,
    )
    audit.record(actor=actor, action="dispute.opened", target=made, amount=plain(amount))
    emit(type="dispute.open", subject=made.pk, team_id=payment.team_id, data=_shown(made))
    opened: Dispute = made
    return opened


def _reverse(dispute: Dispute, seen: DisputeSeen) -> str:
    """The opening's postings, the other way round: from what was booked, not reckoned anew."""
    rows: Any = Posting.objects.filter(transaction_id=dispute.transaction_id)
    booked = rows.values_list("account__kind", "amount")
    legs = {AccountKind(kind): -amount for kind, amount in booked}
    entry = Entry(TransactionKind.DISPUTE, f"{seen.id}:won", legs, _("A dispute was won"), seen.at)
    made: str = posting.book(team_id=dispute.team_id, entry=entry, by="").transaction.pk
    return made


def _send_off(refund: Refund, payment: Payment, actor: Actor) -> None:
    """Book it and have a reconciler tell the provider. A transfer is sent by hand and then is done. Credit
    that was given is not paid out."""
    left = max(grants.own_money(team_id=payment.team_id), ZERO)
    if refund.amount > left:
        raise NotRefundable(
            _("Only %(left)s of the balance was paid in and is free.")
            % {"left": plain(round_minor(left, payment.currency))},
            field="amount",
        )
    is_bank = payment.provider == Provider.BANK
    source = AccountKind.FUNDING if is_bank else AccountKind.CLEARING
    legs = {AccountKind.CUSTOMER: -refund.amount, source: refund.amount}
    about = _("Refund of %(reference)s") % {"reference": payment.reference}
    entry = Entry(TransactionKind.REFUND, str(refund.pk), legs, about)
    refund.transaction_id = posting.book(team_id=payment.team_id, entry=entry, by=actor.label).transaction.pk
    payment.refunded += refund.amount
    payment.save(update_fields=["refunded"])
    refund.due_at = None if is_bank else db_now()
    if is_bank:
        refund.state, refund.finished_at = REFUND.target("succeed", refund.state), db_now()
    refund.save()
    emit(type="refund.approved", subject=refund.pk, team_id=refund.team_id, data=_shown(refund))
    enqueue("payments.refund", refund_id=refund.pk)


def _take_back(refund: Refund, payment: Payment, actor: Actor) -> None:
    legs = {AccountKind.CUSTOMER: refund.amount, AccountKind.CLEARING: -refund.amount}
    entry = Entry(TransactionKind.CORRECTION, str(refund.pk), legs, _("A refund failed"))
    posting.book(team_id=payment.team_id, entry=entry, by=actor.label)
    payment.refunded -= refund.amount
    payment.save(update_fields=["refunded"])


def _person(actor: Actor) -> str:
    return actor.user_id or actor.key_id or actor.label[:40]


def _lock(refund_id: str) -> tuple[Refund, Payment]:
    """The payment first, then the refund: the order in which everybody locks them."""
    payment_id = Refund.objects.filter(pk=refund_id).values_list("payment_id", flat=True).first()
    if payment_id is None:
        raise NotFound(_("There is no such refund."))
    payment = _lock_payment(payment_id)
    refund: Any = Refund.objects.select_for_update().get(pk=refund_id)
    return refund, payment


def _lock_payment(payment_id: str) -> Payment:
    found: Payment | None = Payment.objects.select_for_update().filter(pk=payment_id).first()
    if found is None:
        raise NotFound(_("There is no such payment."))
    return found


def _shown(row: Refund | Dispute) -> dict[str, str]:
    """What an event says of it."""
    return {"amount": plain(row.amount), "currency": row.payment.currency, "reference": row.payment.reference}
