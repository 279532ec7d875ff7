"""Payments of a team: topping up, paying, what came of it."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.money import minor_digits
from apps.core.permissions import Permission
from apps.panels import invoices as shown
from apps.panels.kit import (
    Action,
    Column,
    Copies,
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
    Section,
    cells,
    moment,
)
from apps.panels.user.billing.common import SUM, OfTeam, way_field
from apps.payments import services
from apps.payments.models import Payment
from apps.payments.selectors import providers, rows
from apps.payments.specs import Wish
from apps.payments.states import OPEN, PaymentState, Provider

P = Permission


class TopUpFields(forms.Form):
    amount = forms.DecimalField(label=_("Amount"), **SUM)


class TopUp(OfTeam, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Top up")
    form_class = TopUpFields
    submit = _("Continue")

    def form(self, data: Any = None) -> forms.Form:
        form = TopUpFields(data, initial={"amount": 50})
        form.fields["way"] = way_field(self)
        return form

    @property
    def sections(self) -> Any:  # type: ignore[override]
        missing = [str(one.provider.label) for one in providers.ways() if one.missing]
        told = _now("Not offered here: %(ways)s.") % {"ways": ", ".join(missing)}
        text = _now("In %(currency)s; it is on the balance as soon as it has arrived.")
        return (
            Section(_("How much"), text % {"currency": self.team.currency}, ("amount",)),
            Section(
                _("How"),
                _("Cards are entered on a page of the payment provider."),
                ("way",),
                note=told if missing else "",
            ),
        )

    def save(self, data: dict[str, Any]) -> str:
        provider, _colon, method = data["way"].partition(":")
        wish = Wish(provider, data["amount"], method or None)
        payment = services.begin_top_up(actor=self.actor, team=self.team, wish=wish)
        return self.url("payment", pk=payment.pk)


CANCEL = Action(
    "cancel",
    _("Cancel"),
    P.BILLING_MANAGE,
    lambda view, one: (
        services.cancel_payment(actor=view.actor, payment_id=str(one.pk), team=view.team) and None
    ),
    icon="x",
    when=lambda one: one.state in OPEN,
    confirm=_("What arrives nevertheless is put on the balance."),
    done=_("The payment is cancelled."),
)


class PaymentList(OfTeam, Resource):
    permission = P.BILLING_READ
    title = _("Payments")
    intro = _("Money that came in, is on its way, or did not arrive.")
    model = Payment
    live = "payment."
    order = "-asked"
    search = ("reference",)
    search_hint = _("Search by reference")
    filters = (Filter("state", _("State"), PaymentState.choices),)
    links = (Link(_("Top up"), "top-up", P.BILLING_MANAGE, icon="plus"),)
    empty = Empty(
        _("No payment yet"),
        _("Top the balance up to launch something."),
        Link(_("Top up"), "top-up", P.BILLING_MANAGE),
        icon="wallet",
    )
    columns = (
        Column("reference", _("Reference"), main=True, to="payment"),
        moment("asked", _("Asked"), "created_at", priority=2),
        Column("how", _("How"), lambda one: str(one.method) if one.method else one.get_provider_display(),
               priority=2, text=lambda one: one.provider),
        Column("purpose", _("For"),
               lambda one: one.invoice.number if one.invoice else one.get_purpose_display(),
               priority=3, text=lambda one: one.purpose),
        Column("state", _("State"), shown.state_of, sort="state", text=lambda one: one.state),
        Column("amount", _("Amount"), shown.money_cell("amount"), sort="amount", num=True,
               text=shown.money_text("amount")),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return rows.payments(self.actor, team_id=self.team.pk)


class PaymentPage(OfTeam, Detail):
    permission = P.BILLING_READ
    model = Payment
    live = "payment."
    actions = (CANCEL,)

    def rows(self) -> QuerySet[Any]:
        return rows.payments(self.actor, team_id=self.team.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (str(_("Payments")), self.url("payments"))]

    def status(self) -> Any:
        return shown.state_of(self.object)

    def top(self) -> list[Any]:
        one = self.object
        if one.state == PaymentState.PENDING:
            return [Note(one.problem or _now("It is being prepared; this page goes on by itself."), "info")]
        if one.state == PaymentState.WAITING and one.pay_url:
            return [Note(_now("Pay on the provider's page; we are told when it is done."), "warn",
                         (_("Go and pay"), one.pay_url))]  # fmt: skip
        if one.state == PaymentState.WAITING:
            return [Note(_now("It is on the balance as soon as the money has arrived."), "info")]
        if one.state == PaymentState.FAILED:
            return [Note(one.problem or _now("The payment was refused."), "bad")]
        return []

    def main_overview(self) -> list[Any]:
        one = self.object
        blocks: list[Any] = [Kpis([Kpi(_("Amount"), cells.money(one.amount, one.currency))])]
        if one.provider == Provider.BANK and one.state == PaymentState.WAITING:
            values = [
                (_now("Amount"), f"{one.amount:.{minor_digits(one.currency)}f} {one.currency}"),
                (_now("Reference"), one.reference),
            ]
            blocks.append(Copies(_("Transfer"), values, note=providers.bank_details(one)))
        return blocks

    def aside_overview(self) -> list[Any]:
        one = self.object
        invoice = one.invoice
        return [
            Facts(
                _("Details"),
                [
                    (_("How"), str(one.method) if one.method else one.get_provider_display()),
                    (_("For"), cells.link(invoice.number, self.url("invoice", pk=invoice.pk))
                     if invoice else one.get_purpose_display()),
                    (_("Automatic"), _("yes") if one.is_automatic else None),
                    (_("Asked"), cells.exact(one.created_at)),
                    (_("By"), one.created_by),
                    (_("Received"), cells.exact(one.succeeded_at) if one.succeeded_at else None),
                    (_("Refunded"), cells.money(one.refunded, one.currency) if one.refunded else None),
                ],
            )
        ]  # fmt: skip
