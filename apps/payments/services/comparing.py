"""Comparing a provider's balance with the ledger, movement by movement; fees and payouts are booked."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, TransactionKind
from apps.billing.services import posting
from apps.billing.services.posting import Entry
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.drivers.payments import BalanceLine
from apps.operations.services import emit
from apps.payments.models import Dispute, Explanation, Payment, Reconciliation, Refund
from apps.payments.selectors.rows import Explained
from apps.payments.specs import from_minor
from apps.payments.states import PaymentState, RefundState


@transaction.atomic
def reconcile(
    *, actor: Actor, provider: str, since: datetime, until: datetime, lines: Sequence[BalanceLine]
) -> Reconciliation:
    """Compare every movement of a span with what was booked, both ways; again for the same end
    compares anew. Nothing is put right by itself: differences are shown and told."""
    actor.require(Permission.BILLING_MANAGE)
    differences = [found for line in lines if (found := _compare(line))]
    seen = {line.source for line in lines}
    differences += _missing(provider, since, until, seen)
    unexplained = Explained(provider).without(differences)
    booked = sum(_book_own(line) for line in lines)
    values = {
        "since": since,
        "checked": len(lines),
        "booked": booked,
        "differences": differences,
    }
    row, _made = Reconciliation.objects.update_or_create(provider=provider, until=until, defaults=values)
    if unexplained:
        emit(type="payment.differs", subject=row.pk, data={"differences": len(unexplained)})
    made: Reconciliation = row
    return made


@transaction.atomic
def explain(
    *, actor: Actor, reconciliation: Reconciliation, kind: str, source: str, note: str
) -> Explanation:
    """Say why a movement differs, once looked into: it is shown with the words and alarms nobody again, as
    long as the amounts are the same."""
    actor.require(Permission.WALLET_CREDIT)
    about = [one for one in reconciliation.differences if (one["kind"], one["source"]) == (kind, source)]
    if not about:
        raise NotFound(_("There is no such difference."))
    if not note.strip():
        raise Invalid(_("Say why."), field="note")
    known = Conflict(_("Somebody has explained it already."), field="note")
    difference = next(iter(Explained(reconciliation.provider).without(about)), None)
    if difference is None:
        raise known
    try:
        with transaction.atomic():
            row: Any = Explanation.objects.create(
                provider=reconciliation.provider,
                kind=kind,
                source=source,
                provider_says=difference["provider"],
                ledger_says=difference["ledger"],
                note=note.strip()[:300],
                created_by=actor.label[:200],
            )
    except IntegrityError as error:
        raise known from error
    audit.record(actor=actor, action="difference.explained", target=row, note=row.note)
    emit(type="payment.explained", subject=reconciliation.pk)
    made: Explanation = row
    return made


def _compare(line: BalanceLine) -> dict[str, str] | None:
    amount = from_minor(line.amount, line.currency)
    found: Any = None
    if line.kind == "payment":
        found = _booked(Payment.objects.filter(intent_id=line.source, transaction_id__isnull=False))
    elif line.kind == "refund":
        found, amount = _booked(Refund.objects.filter(external_id=line.source)), -amount
    elif line.kind == "refund_failed":
        found = _booked(Refund.objects.filter(external_id=line.source, state="failed"))
    elif line.kind == "dispute":
        found, amount = _booked(Dispute.objects.filter(external_id=line.source)), -amount
    elif line.kind == "dispute_won":
        found = _booked(Dispute.objects.filter(external_id=line.source, reversal_id__isnull=False))
    else:
        return None
    if found == (amount, line.currency):
        return None
    return {
        "line": line.id,
        "kind": line.kind,
        "source": line.source,
        "provider": f"{plain(amount)} {line.currency}",
        "ledger": f"{plain(found[0])} {found[1]}" if found else "",
    }


def _booked(rows: Any) -> tuple[Decimal, str] | None:
    found: tuple[Decimal, str] | None = rows.values_list("amount", "currency").first()
    return found


def _missing(provider: str, since: datetime, until: datetime, seen: set[str]) -> list[dict[str, str]]:
    """What we have booked and the provider does not know.

    The provider moves a refund's money at some time between its request and its end: those that lie in the
    span with both are looked for.
    """
    paid: Any = Payment.objects.filter(
        provider=provider, state=PaymentState.SUCCEEDED, succeeded_at__gte=since, succeeded_at__lt=until
    )
    refunded: Any = Refund.objects.filter(
        payment__provider=provider, state=RefundState.SUCCEEDED, created_at__gte=since, finished_at__lt=until
    )
    found = [("payment", one.intent_id or one.reference, one) for one in paid.exclude(intent_id__in=seen)]
    found += [("refund", one.external_id or one.pk, one) for one in refunded.exclude(external_id__in=seen)]
    return [_unknown(*one) for one in found]


def _unknown(kind: str, source: str, row: Payment | Refund) -> dict[str, str]:
    ledger = f"{plain(row.amount)} {row.currency}"
    return {"line": "", "kind": kind, "source": source, "provider": "", "ledger": ledger}


def _book_own(line: BalanceLine) -> bool:
    """A fee or a payout: it concerns no team. Once per movement."""
    is_new = False
    if line.fee:
        fee = from_minor(line.fee, line.currency)
        legs = {AccountKind.FEES: -fee, AccountKind.CLEARING: fee}
        entry = Entry(TransactionKind.FEE, line.id, legs, line.kind, line.at)
        is_new = posting.book_own(currency=line.currency, entry=entry, by="").is_new
    if line.kind == "payout":
        amount = -from_minor(line.amount, line.currency)
        legs = {AccountKind.CLEARING: amount, AccountKind.FUNDING: -amount}
        entry = Entry(TransactionKind.PAYOUT, line.id, legs, line.kind, line.at)
        is_new = posting.book_own(currency=line.currency, entry=entry, by="").is_new or is_new
    return is_new
