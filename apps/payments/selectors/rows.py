"""Reading payments, methods, refunds, disputes, messages and reconciliations."""

from decimal import Decimal
from typing import Any

from django.db.models import Count, QuerySet, Sum, Value
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.payments.models import (
    AutoTopUp,
    Dispute,
    Explanation,
    Payment,
    PaymentCustomer,
    PaymentMethod,
    Reconciliation,
    Refund,
    WebhookEvent,
)
from apps.payments.states import DisputeState, Provider, RefundState

Rows = QuerySet[Any]


def payments(actor: Actor, *, team_id: str | None = None) -> Rows:
    """Payments the actor may see, newest first."""
    return _of(Payment.objects.visible_to(actor).select_related("team", "invoice", "method"), team_id)


def find_payment(actor: Actor, payment_id: str, *, team_id: str | None = None) -> Payment:
    found: Payment = _one(payments(actor, team_id=team_id), payment_id, _("There is no such payment."))
    return found


def methods(actor: Actor, *, team_id: str) -> Rows:
    """The team's saved cards, the default first."""
    rows = PaymentMethod.objects.visible_to(actor).filter(team_id=team_id, removed_at=None)
    return rows.order_by("-is_default", "-created_at")


def find_method(actor: Actor, method_id: str, *, team_id: str) -> PaymentMethod:
    found: PaymentMethod = _one(methods(actor, team_id=team_id), method_id, _("There is no such card."))
    return found


def setup_of(actor: Actor, *, team_id: str) -> PaymentCustomer | None:
    """The page on which the team is saving a card, while there is one."""
    rows = PaymentCustomer.objects.visible_to(actor).filter(team_id=team_id, setup_wanted_at__isnull=False)
    found: PaymentCustomer | None = rows.first()
    return found


def auto_top_up(actor: Actor, *, team_id: str) -> AutoTopUp | None:
    found: AutoTopUp | None = AutoTopUp.objects.visible_to(actor).filter(team_id=team_id).first()
    return found


def is_contested(payment: Payment) -> bool:
    """Whether its cardholder has taken it back, for now or for good."""
    return bool(payment.disputes.exclude(state=DisputeState.WON).exists())


def refundable(payment: Payment) -> Decimal:
    """What can still be asked back of a payment: less what waits for approval, and nothing of one whose
    cardholder has taken it back."""
    if is_contested(payment):
        return ZERO
    asked = payment.refunds.filter(state=RefundState.REQUESTED).aggregate(s=Sum("amount"))["s"]
    left: Decimal = payment.refundable - (asked or ZERO)
    return left


def refunds(actor: Actor, *, team_id: str | None = None) -> Rows:
    return _of(Refund.objects.visible_to(actor).select_related("payment", "team"), team_id)


def find_refund(actor: Actor, refund_id: str) -> Refund:
    found: Refund = _one(refunds(actor), refund_id, _("There is no such refund."))
    return found


def disputes(actor: Actor) -> Rows:
    return Dispute.objects.visible_to(actor).select_related("payment", "team")


def find_dispute(actor: Actor, dispute_id: str) -> Dispute:
    found: Dispute = _one(disputes(actor), dispute_id, _("There is no such dispute."))
    return found


def events(actor: Actor) -> Rows:
    """What providers have sent, for staff."""
    return WebhookEvent.objects.visible_to(actor)


def reconciliations(actor: Actor) -> Rows:
    return Reconciliation.objects.visible_to(actor)


def find_reconciliation(actor: Actor, row_id: str) -> Reconciliation:
    found: Reconciliation = _one(reconciliations(actor), row_id, _("There is no such comparison."))
    return found


def waiting(actor: Actor) -> dict[str, int]:
    """How much of payments waits for somebody of the staff."""
    actor.require(Permission.BILLING_READ)
    counts = {
        "refunds": Refund.objects.filter(state=RefundState.REQUESTED),
        "disputes": Dispute.objects.filter(state=DisputeState.OPEN),
        "transfers": Payment.objects.open().filter(provider=Provider.BANK),
        "stuck": WebhookEvent.objects.filter(processed_at=None, attempts__gt=0),
    }
    names = list(counts)
    kinds = [
        rows.order_by().annotate(what=Value(place)).values("what").annotate(n=Count("pk"))
        for place, rows in enumerate(counts.values())
    ]
    found = dict.fromkeys(names, 0)
    for row in kinds[0].union(*kinds[1:], all=True):
        found[names[row["what"]]] = row["n"]
    latest = Reconciliation.objects.order_by("provider", "-until").distinct("provider")
    return found | {"differences": sum(len(unexplained(one)) for one in latest)}


class Explained:
    """What has been said of differences with a provider."""

    def __init__(self, provider: str) -> None:
        self._known = {
            (one.kind, one.source, one.provider_says, one.ledger_says): one
            for one in Explanation.objects.filter(provider=provider)
        }

    def of(self, difference: dict[str, str]) -> Explanation | None:
        """What was said of this very difference, its amounts included."""
        one = difference
        return self._known.get((one["kind"], one["source"], one["provider"], one["ledger"]))

    def without(self, differences: list[dict[str, str]]) -> list[dict[str, str]]:
        """Those that nobody has said anything of."""
        return [one for one in differences if self.of(one) is None]


def unexplained(row: Reconciliation) -> list[dict[str, str]]:
    """The differences that nobody has said anything of."""
    return Explained(row.provider).without(row.differences) if row.differences else []


def _of(rows: Rows, team_id: str | None) -> Rows:
    return rows if team_id is None else rows.filter(team_id=team_id)


def _one(rows: Rows, pk: str, missing: str) -> Any:
    found = rows.filter(pk=pk).first()
    if found is None:
        raise NotFound(missing)
    return found
