"""Billing at a glance: what is left, how long it lasts, what there is to do, where the money went."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.selectors import budgets, ledger, terms, wallets
from apps.billing.selectors.ledger import StatementLine
from apps.billing.selectors.wallets import Balance, Burn
from apps.billing.services import grants
from apps.billing.specs import HOURS_PER_DAY
from apps.core.ids import new_id
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.invoicing.models import Invoice
from apps.invoicing.selectors import invoices
from apps.invoicing.states import InvoiceState
from apps.panels import invoices as shown
from apps.panels.kit import (
    Chart,
    Column,
    Empty,
    Facts,
    FormPage,
    InlineForm,
    Kpi,
    Kpis,
    Link,
    Note,
    Page,
    Section,
    Series,
    Shares,
    Table,
    cells,
)
from apps.panels.kit.forms import dress
from apps.panels.user.billing.common import OfTeam
from apps.panels.user.billing.statement import line_columns
from apps.payments.selectors import rows as payments

P = Permission
DAYS = 30
LINES, RUNNING, BUDGETS = 10, 8, 4
YEAR = 365 * 24  # hours
# A budget that is used up to this share is shown as such.
NEAR, OVER = Decimal("0.8"), Decimal(1)


class Billing(OfTeam, Page):
    permission = P.BILLING_READ
    title = _("Billing")
    intro = _("The balance pays for what runs, second by second.")
    live = "wallet."
    links: ClassVar = (
        Link(_("Statement"), "statement", P.BILLING_READ, icon="receipt", primary=False),
        Link(_("Payments"), "payments", P.BILLING_READ, icon="banknote", primary=False),
        Link(_("Prices"), "prices", P.PRICE_READ, icon="tag", primary=False),
        Link(_("Top up"), "top-up", P.BILLING_MANAGE, icon="plus"),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return []

    @cached_property
    def money(self) -> Balance:
        assert self.wallet is not None
        return wallets.balance_in(self.wallet)

    @cached_property
    def burning(self) -> list[Burn]:
        return wallets.running(self.actor, self.team.pk)

    @cached_property
    def open_invoices(self) -> list[Invoice]:
        found = (
            invoices.invoices(self.actor, team_id=self.team.pk)
            .filter(state=InvoiceState.OPEN)
            .order_by("due_at")
        )
        return [one for one in found[:20] if one.amount_due]

    @cached_property
    def today(self) -> date:
        return timezone.now().astimezone(UTC).date()

    @cached_property
    def lines(self) -> list[StatementLine]:
        since = self.today - timedelta(days=DAYS)
        return ledger.statement_of(self.team.pk, since=since, until=self.today)

    # ------------------------------------------------------------ above

    def top(self) -> list[Any]:
        return [*self._to_do(), Kpis(self._kpis())]

    def _to_do(self) -> list[Note]:
        """What the customer must do next, the most pressing first."""
        top_up = (_("Top up"), self.url("top-up"))
        notes = []
        if any(one.short_since for one in self.burning):
            text = _now("The balance no longer covers what runs. It stops in a few minutes.")
            notes.append(Note(text, "bad", top_up))
        elif self.money.spendable <= 0:
            notes.append(
                Note(_now("There is nothing on the balance: nothing can be launched."), "warn", top_up)
            )
        overdue = [one for one in self.open_invoices if shown.is_overdue(one)]
        if overdue:
            first = overdue[0]
            owed = cells.money(first.amount_due, first.currency)
            text = _now("Invoice %(number)s over %(owed)s was due on %(day)s.") % {
                "number": first.number,
                "owed": owed,
                "day": f"{first.due_at:%Y-%m-%d}",
            }
            notes.append(Note(text, "bad", (_("Pay it"), self.url("invoice-pay", pk=first.pk))))
        if self.auto and self.auto.paused_because:
            text = _now("The automatic top-up pauses: %(why)s") % {"why": self.auto.paused_because}
            notes.append(Note(text, "warn", (_("Look at it"), self.url("auto-top-up"))))
        return notes

    def _kpis(self) -> list[Kpi]:
        money, currency = self.money, self.money.currency
        runway = money.runway
        lasts: Any = "–" if runway is None else cells.duration(timedelta(seconds=int(runway * 3600)))
        lasts = _("over a year") if runway is not None and runway > YEAR else lasts
        rate = _now("%(sum)s a day at this rate") % {"sum": cells.money(money.burn * HOURS_PER_DAY, currency)}
        first = self.today.replace(day=1)
        spent = -sum((line.amount for line in self.lines if line.kind == "usage" and line.day >= first), ZERO)
        owed = sum((one.amount_due for one in self.open_invoices), ZERO)
        count = _now("%(n)s invoices") % {"n": len(self.open_invoices)} if owed else _("nothing is open")
        held = _now("%(sum)s held for what runs") % {"sum": cells.money(money.held, currency)}
        credit = _now("with %(limit)s of credit") % {"limit": cells.money(money.credit_limit, currency)}
        return [
            Kpi(
                _("Balance"),
                cells.money(money.balance, currency),
                note=credit if money.credit_limit else held,
            ),
            Kpi(_("Lasts"), lasts, note=rate if runway is not None else _("nothing is running")),
            Kpi(_("Charged this month"), cells.money(spent, currency), note=_("before tax")),
            Kpi(_("To be paid"), cells.money(owed, currency), note=count),
        ]

    # ------------------------------------------------------------ main column

    def main(self) -> list[Any]:
        link = (_("The whole statement"), self.url("statement"))
        empty = Empty(_("No entry yet"), _("Payments and usage show up here."), icon="receipt")
        latest = Table(
            _("Latest entries"), line_columns(self.money.currency), self.lines[:LINES], empty, link=link
        )
        return [self._chart(), *self._owed(), self._running(), latest]

    def _chart(self) -> Chart:
        """The balance at the end of each day."""
        ends: dict[date, Decimal] = {}
        for line in self.lines:  # newest first: the first of a day is what stood at its end
            ends.setdefault(line.day, line.balance)
        last = self.lines[-1] if self.lines else None
        stood = last.balance - last.amount if last else ZERO
        times, values = [], []
        for back in range(DAYS, -1, -1) if last else ():
            day = self.today - timedelta(days=back)
            stood = ends.get(day, stood)
            times.append(datetime.combine(day, time(), UTC).timestamp())
            values.append(float(stood))
        now = cells.money(self.money.balance, self.money.currency)
        summary = _now("The balance at the end of each of the last %(n)s days; now %(sum)s.")
        return Chart(
            "balance",
            _("Balance"),
            times,
            [Series(_now("Balance"), values, "s1", fill=True, note=now)],
            summary % {"n": DAYS, "sum": now},
            unit="money",
            currency=self.money.currency,
            days=True,
            empty=_now("Nothing has been paid or charged yet."),
        )

    def _owed(self) -> list[Table]:
        if not self.open_invoices:
            return []
        columns = (*shown.INVOICE_COLUMNS[:2], shown.DUE, *shown.INVOICE_COLUMNS[4:5])
        link = (_("All invoices"), self.url("invoices"))
        return [Table(_("Open invoices"), columns, self.open_invoices, view=self, link=link)]

    def _running(self) -> Table:
        currency, found = self.money.currency, self.burning
        columns = (
            Column("name", _("Name"), lambda one: cells.two_lines(one.name, one.resource_id), main=True),
            Column("hourly", _("Per hour"), lambda one: cells.price(one.hourly, currency), num=True),
            Column(
                "daily",
                _("Per day"),
                lambda one: cells.money(one.hourly * HOURS_PER_DAY, currency),
                num=True,
                priority=2,
            ),
        )
        empty = Empty(
            _("Nothing is charged now"), _("Machines are charged from the moment they run."), icon="wallet"
        )
        sub = _now("the dearest of %(n)s") % {"n": len(found)} if len(found) > RUNNING else ""
        return Table(_("Charged now"), columns, found[:RUNNING], empty, sub=sub)

    # ------------------------------------------------------------ beside it

    def aside(self) -> list[Any]:
        return [self._payment(), self._budgets(), *self._credit(), *self._voucher()]

    @cached_property
    def auto(self) -> Any:
        return payments.auto_top_up(self.actor, team_id=self.team.pk)

    def _payment(self) -> Facts:
        methods = payments.methods(self.actor, team_id=self.team.pk)
        card = next((one for one in methods if one.is_default), None)
        auto, currency = self.auto, self.money.currency
        is_on = auto is not None and auto.is_enabled
        rule = (
            _now("%(sum)s below %(least)s")
            % {
                "sum": cells.money(auto.amount, currency),
                "least": cells.money(auto.threshold, currency),
            }
            if is_on
            else _now("off")
        )
        return Facts(
            _("How it is paid"),
            [
                (_("Card"), cells.link(card or _now("add one"), self.url("methods"))),
                (_("Automatic top-up"), cells.link(rule, self.url("auto-top-up"))),
                (_("Invoices to"), cells.link(_now("name and address"), self.url("billing-profile"))),
                (_("Credit limit"), cells.money(self.money.credit_limit, currency)),
                (_("Billing"), _("by the second")),
            ],
        )

    def _budgets(self) -> Shares:
        found: Any = budgets.with_spent(budgets.list_budgets(actor=self.actor), timezone.now())
        rows = sorted(found.filter(team_id=self.team.pk), key=lambda one: -one.spent_now / one.amount)
        link = (_("All budgets"), self.url("budgets"))
        return Shares(
            _("Budgets"),
            [self._share(one) for one in rows[:BUDGETS]],
            _("None: the balance is the only limit."),
            link,
        )

    def _share(self, one: Any) -> tuple[Any, float, Any, str]:
        used = one.spent_now / one.amount
        tone = "bad" if used >= OVER else "warn" if used >= NEAR else "s1"
        currency = self.money.currency
        text = f"{cells.money(one.spent_now, currency)} / {cells.money(one.amount, currency)}"
        return one.name, float(used), text, tone

    def _credit(self) -> list[Table]:
        assert self.wallet is not None
        found = terms.credit_left(self.actor, self.wallet)
        if not found:
            return []
        columns = (
            Column("reason", _("For"), lambda one: one.reason, main=True),
            Column(
                "lapses",
                _("Lapses"),
                lambda one: cells.when(one.expires_at) if one.expires_at else _("never"),
            ),
            Column("left", _("Left"), lambda one: cells.money(one.left, self.money.currency), num=True),
        )
        return [Table(_("Given credit"), columns, found, sub=_now("used first, from top to bottom"))]

    def _voucher(self) -> list[InlineForm]:
        if not self.can(P.BILLING_MANAGE):
            return []
        return [
            InlineForm(
                _("Redeem a voucher"),
                dress(VoucherFields()),
                self.url("voucher"),
                _("Redeem"),
                new_id("form"),
                _("The credit is on the balance at once."),
            )
        ]


class VoucherFields(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "ABCDE-FGHJK-LMNPQ-RSTUV"}),
    )


class VoucherRedeem(OfTeam, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Redeem a voucher")
    form_class = VoucherFields
    submit = _("Redeem")
    done = _("The credit is on the balance.")
    sections = (Section(_("Code"), _("Dashes and capitals do not matter."), ("code",)),)

    def save(self, data: dict[str, Any]) -> str:
        grants.redeem(actor=self.actor, team=self.team, code=data["code"])
        return self.url("billing")
