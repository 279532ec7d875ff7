"""Payments in the Admin panel: transfers, refunds by two people, disputes."""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import invoices as shown
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    FormPage,
    Kpi,
    Kpis,
    Link,
    Note,
    Resource,
    SavedView,
    Section,
    Table,
    cells,
    moment,
)
from apps.payments import services
from apps.payments.models import Dispute, Payment, Refund, WebhookEvent
from apps.payments.selectors import providers, rows
from apps.payments.states import OPEN, PaymentState, Provider, RefundState

P = Permission


class OfPayments:
    """What all these pages share."""

    panel = "admin"
    nav = "payments"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Payments")), self.url("payments"))]  # type: ignore[attr-defined]


def _team(row: Any) -> str:
    return str(row.team.name)


def receive(view: Any, payment: Payment) -> None:
    services.record_transfer(actor=view.actor, payment_id=str(payment.pk))


def cancel(view: Any, payment: Payment) -> None:
    services.cancel_payment(actor=view.actor, payment_id=str(payment.pk))


RECEIVED = Action(
    "received",
    _("It has come in"),
    P.WALLET_CREDIT,
    receive,
    icon="check",
    when=lambda one: one.provider == Provider.BANK and one.state != PaymentState.SUCCEEDED,
    confirm=lambda one: (
        _("%(amount)s arrived, with the reference %(reference)s.")
        % {"amount": cells.money(one.amount, one.currency), "reference": one.reference}
    ),
    done=_("The money is on the balance."),
)
CANCEL = Action(
    "cancel",
    _("Cancel"),
    P.BILLING_MANAGE,
    cancel,
    icon="x",
    when=lambda one: one.state in OPEN,
    confirm=_("What arrives nevertheless is booked."),
    menu=True,
    done=_("The payment is cancelled."),
)


class PaymentList(OfPayments, Resource):
    permission = P.BILLING_READ
    title = _("Payments")
    intro = _("Money that came in, is on its way, or did not arrive.")
    model = Payment
    live = "payment."
    order = "-asked"
    search = ("reference", "team__name", "external_id__exact", "intent_id__exact")
    search_hint = _("Search by reference, team or the provider's id")
    filters = (
        Filter("state", _("State"), PaymentState.choices),
        Filter("provider", _("How"), Provider.choices),
    )
    views = (
        SavedView("all", _("All")),
        SavedView("transfers", _("Transfers to come"), Q(provider=Provider.BANK, state__in=OPEN)),
        SavedView("failed", _("Failed"), Q(state=PaymentState.FAILED)),
    )
    actions = (RECEIVED,)
    links = (
        Link(_("Refunds"), "refunds", P.BILLING_READ, icon="undo-2", primary=False),
        Link(_("Disputes"), "disputes", P.BILLING_READ, icon="shield-alert", primary=False),
        Link(_("Messages"), "payment-messages", P.BILLING_READ, icon="inbox", primary=False),
        Link(_("Provider's books"), "reconciliations", P.BILLING_READ, icon="scale", primary=False),
    )
    empty = Empty(_("No payment yet"), _("Customers top up in their console."), icon="wallet")
    columns = (
        Column("reference", _("Reference"), main=True, to="payment"),
        Column("team", _("Team"), _team, sort="team__name", text=_team),
        moment("asked", _("Asked"), "created_at", priority=2),
        Column("how", _("How"), lambda one: one.get_provider_display(), priority=2,
               text=lambda one: one.provider),
        Column("state", _("State"), shown.state_of, sort="state", text=lambda one: one.state),
        Column("amount", _("Amount"), shown.money_cell("amount"), sort="amount", num=True,
               text=shown.money_text("amount")),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return rows.payments(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return []


class PaymentPage(OfPayments, Detail):
    permission = P.BILLING_READ
    model = Payment
    live = "payment."
    actions = (RECEIVED, CANCEL)

    @property
    def links(self) -> tuple[Link, ...]:  # type: ignore[override]
        refund = Link(_("Refund"), "payment-refund", P.WALLET_CREDIT, icon="undo-2", primary=False)
        return (refund,) if rows.refundable(self.object) else ()

    def rows(self) -> QuerySet[Any]:
        return rows.payments(self.actor)

    def status(self) -> Any:
        return shown.state_of(self.object)

    def top(self) -> list[Any]:
        one = self.object
        problem = [Note(one.problem, "warn")] if one.problem else []
        text = _now("Its cardholder has taken it back: nothing of it can be refunded.")
        return [*problem, *([Note(text, "warn")] if rows.is_contested(one) else [])]

    def main_overview(self) -> list[Any]:
        one = self.object
        figures = [
            Kpi(_("Amount"), cells.money(one.amount, one.currency)),
            Kpi(_("Refunded"), cells.money(one.refunded, one.currency)),
        ]
        empty = Empty(_("None"), icon="circle-check")
        refunds = Table(_("Refunds"), REFUND_COLUMNS[2:], list(one.refunds.all()), empty, view=self)
        contested = list(one.disputes.all())
        disputes = Table(_("Disputes"), DISPUTE_COLUMNS[2:], contested, empty, view=self)
        return [Kpis(figures), *([disputes] if contested else []), refunds]

    def aside_overview(self) -> list[Any]:
        one = self.object
        posted = one.transaction_id
        entry = cells.link(_now("Entry"), self.url("ledger-entry", pk=posted)) if posted else None
        return [
            Facts(
                _("Details"),
                [
                    (_("Team"), cells.link(one.team.name, self.url("team", pk=one.team_id))),
                    (_("How"), one.get_provider_display()),
                    (_("For"), one.invoice.number if one.invoice else one.get_purpose_display()),
                    (_("Automatic"), _("yes") if one.is_automatic else None),
                    (_("Provider's id"), cells.mono(one.external_id) if one.external_id else None),
                    (_("Asked"), cells.exact(one.created_at)),
                    (_("By"), one.created_by),
                    (_("Received"), cells.exact(one.succeeded_at) if one.succeeded_at else None),
                    (_("Ledger"), entry),
                ],
            )
        ]


class RefundFields(forms.Form):
    amount = forms.DecimalField(label=_("Amount"), max_digits=20, decimal_places=3, min_value=0)
    reason = forms.CharField(label=_("Reason"), max_length=200)


class PaymentRefund(OfPayments, FormPage):
    permission = P.WALLET_CREDIT
    title = _("Refund a payment")
    form_class = RefundFields
    submit = _("Refund")
    done = _("The refund is on its way, or waits for a second person.")
    danger = True

    @cached_property
    def payment(self) -> Payment:
        return rows.find_payment(self.actor, self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (self.payment.reference, self.url("payment", pk=self.pk))]

    @property
    def sections(self) -> Any:  # type: ignore[override]
        one = self.payment
        said = {
            "left": cells.money(rows.refundable(one), one.currency),
            "limit": cells.money(providers.refund_limit(one.currency), one.currency),
        }
        text = _now(
            "At most %(left)s, out of what the team has paid in and not used. Above %(limit)s of one payment,"
            " somebody else has to agree before anything moves."
        )
        return (Section(_("How much"), text % said, ("amount", "reason")),)

    def save(self, data: dict[str, Any]) -> str:
        services.request_refund(actor=self.actor, payment_id=self.pk, **data)
        return self.url("refunds")


def approve(view: Any, refund: Refund) -> None:
    services.approve_refund(actor=view.actor, refund_id=str(refund.pk))


def reject(view: Any, refund: Refund) -> None:
    services.reject_refund(actor=view.actor, refund_id=str(refund.pk))


def _waits(refund: Refund) -> bool:
    return refund.state == RefundState.REQUESTED


APPROVE = Action(
    "approve",
    _("Approve"),
    P.WALLET_CREDIT,
    approve,
    icon="check",
    when=_waits,
    confirm=lambda one: (
        _("%(amount)s goes back, as %(who)s asked for: %(why)s")
        % {"amount": cells.money(one.amount, one.currency), "who": one.requested_by, "why": one.reason}
    ),
    done=_("The refund is on its way."),
)
REJECT = Action(
    "reject", _("Reject"), P.WALLET_CREDIT, reject, icon="x", when=_waits, done=_("The refund is rejected.")
)
PAID = Column("payment", _("Payment"), lambda one: one.payment.reference, main=True,
              to=lambda view, one: view.url("payment", pk=one.payment_id),
              text=lambda one: one.payment.reference)  # fmt: skip
REFUND_COLUMNS = (
    PAID,
    Column("team", _("Team"), _team, sort="team__name", text=_team, priority=2),
    Column("state", _("State"), shown.state_of, sort="state", text=lambda one: one.state),
    Column("asked", _("Asked"), lambda one: cells.two_lines(cells.when(one.created_at), one.requested_by),
           sort="created_at", priority=2, text=lambda one: one.created_at.isoformat()),
    Column("decided", _("Decided"), lambda one: one.decided_by or cells.NONE, priority=3,
           text=lambda one: one.decided_by),
    Column("why", _("Why"), lambda one: one.problem or one.reason, priority=3, text=lambda one: one.reason),
    Column("amount", _("Amount"), shown.money_cell("amount"), sort="amount", num=True,
           text=shown.money_text("amount")),
)  # fmt: skip


DISPUTE_COLUMNS = (
    PAID,
    Column("team", _("Team"), _team, sort="team__name", text=_team),
    Column("state", _("State"), shown.state_of, sort="state", text=lambda one: one.state),
    Column("reason", _("Reason"), priority=2),
    moment("opened", _("Opened"), "created_at", priority=2),
    Column("amount", _("Amount"), shown.money_cell("amount"), num=True, text=shown.money_text("amount")),
)


class RefundList(OfPayments, Resource):
    permission = P.BILLING_READ
    title = _("Refunds")
    intro = _("Above the limit nothing moves until somebody else has agreed.")
    model = Refund
    live = "refund."
    order = "-asked"
    search = ("payment__reference", "team__name")
    search_hint = _("Search by reference or team")
    filters = (Filter("state", _("State"), RefundState.choices),)
    views = (
        SavedView("all", _("All")),
        SavedView("waiting", _("To approve"), Q(state=RefundState.REQUESTED)),
    )
    actions = (APPROVE, REJECT)
    empty = Empty(_("No refund yet"), _("They are begun on a payment's page."), icon="undo-2")
    columns = REFUND_COLUMNS

    def rows(self) -> QuerySet[Any]:
        return rows.refunds(self.actor)


class DisputeList(OfPayments, Resource):
    permission = P.BILLING_READ
    title = _("Disputes")
    intro = _("Payments that cardholders contest; answer them at the provider.")
    model = Dispute
    live = "dispute."
    order = "-opened"
    search = ("payment__reference", "team__name", "external_id")
    search_hint = _("Search by reference or team")
    empty = Empty(_("No dispute"), icon="circle-check")
    columns = DISPUTE_COLUMNS

    def rows(self) -> QuerySet[Any]:
        return rows.disputes(self.actor)


class MessageList(OfPayments, Resource):
    permission = P.BILLING_READ
    title = _("Messages of providers")
    intro = _("Kept once, however often they come; each only makes us go and look.")
    model = WebhookEvent
    order = "-received"
    search = ("event_id", "object_id", "type")
    search_hint = _("Search by id or type")
    views = (
        SavedView("all", _("All")),
        SavedView("stuck", _("Not looked into"), Q(processed_at=None)),
    )
    empty = Empty(_("No message yet"), _("They arrive at /webhooks/stripe."), icon="inbox")
    columns = (
        Column("type", _("Type"), sort="type", main=True),
        Column("object", _("About"), lambda one: cells.mono(one.object_id), text=lambda one: one.object_id),
        Column("deliveries", _("Times"), sort="deliveries", num=True, priority=2),
        moment("received", _("Received"), "received_at"),
        moment("processed", _("Looked into"), "processed_at", sort=(), priority=2),
        Column("problem", _("Problem"), priority=3),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return rows.events(self.actor)
