"""The statement: what changed the balance in a month, what stood before and after; and every entry."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.billing.models import Transaction, TransactionKind
from apps.billing.selectors import ledger
from apps.billing.selectors.ledger import StatementLine
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.invoicing.specs import Period
from apps.panels.kit import (
    Column,
    Empty,
    Filter,
    Html,
    Kpi,
    Kpis,
    Link,
    Page,
    PanelView,
    Resource,
    Table,
    cells,
    csvfile,
    moment,
)
from apps.panels.money import kind_of, signed
from apps.panels.user.billing.common import OfTeam

P = Permission
MONTHS = 6


def described(line: StatementLine) -> Any:
    if line.kind == TransactionKind.USAGE:
        text = ngettext("What ran that day, %(n)s charge", "What ran that day, %(n)s charges", line.entries)
        return text % {"n": cells.number(line.entries)}
    return line.description


def line_columns(currency: str) -> tuple[Column, ...]:
    """A line of a statement, the same wherever one is shown."""
    return (
        Column(
            "day",
            _("Day (UTC)"),
            lambda line: f"{line.day:%Y-%m-%d}",
            mono=True,
            text=lambda line: f"{line.day:%Y-%m-%d}",
        ),
        Column("kind", _("Kind"), lambda line: kind_of(line.kind), text=lambda line: line.kind),
        Column("description", _("What"), described, priority=2, text=lambda line: str(described(line))),
        Column(
            "amount",
            _("Amount"),
            lambda line: signed(line.amount, currency),
            num=True,
            text=lambda line: plain(line.amount),
        ),
        Column(
            "balance",
            _("Balance"),
            lambda line: cells.money(line.balance, currency),
            num=True,
            text=lambda line: plain(line.balance),
        ),
    )


class _OfMonth(OfTeam):
    """A month of the address (`?month=2026-10`), by default the one that runs."""

    @cached_property
    def period(self) -> Period:
        asked = self.request.GET.get("month", "")  # type: ignore[attr-defined]
        return next((one for one in self.periods if one.label == asked), self.periods[0])

    @cached_property
    def periods(self) -> list[Period]:
        """The months on offer, newest first; none from before there was a team."""
        now = timezone.now().astimezone(UTC)
        found = [Period.month(now.year, now.month)]
        while len(found) < MONTHS and found[-1].start > self._begun():
            found.append(Period.before(found[-1].start))
        return found

    def _begun(self) -> datetime:
        first = ledger.first_booked(self.actor, team_id=self.team.pk)  # type: ignore[attr-defined]
        return first or timezone.now()

    @cached_property
    def lines(self) -> list[StatementLine]:
        last: date = (self.period.end - timedelta(microseconds=1)).date()
        assert self.wallet is not None  # type: ignore[attr-defined]
        return ledger.statement_of(self.team.pk, since=self.period.start.date(), until=last)


class Statement(_OfMonth, Page):
    permission = P.BILLING_READ
    title = _("Statement")
    intro = _("What changed the balance. A day's usage is one line; invoices say what it was for.")
    live = "wallet."
    links: ClassVar = (Link(_("Every entry"), "ledger", P.BILLING_READ, icon="list-checks", primary=False),)

    def top(self) -> list[Any]:
        currency = self.team.currency
        after = self.lines[0].balance if self.lines else self._stood()
        change = sum((line.amount for line in self.lines), ZERO)
        came = sum((line.amount for line in self.lines if line.amount > 0), ZERO)
        is_over = self.period is not self.periods[0]
        return [
            Kpis(
                [
                    Kpi(
                        _("At the beginning"),
                        cells.money(after - change, currency),
                        note=f"{self.period.start:%Y-%m-%d}",
                    ),
                    Kpi(_("Came in"), cells.money(came, currency)),
                    Kpi(_("Went out"), cells.money(change - came, currency)),
                    Kpi(_("At the end") if is_over else _("Now"), cells.money(after, currency)),
                ]
            )
        ]

    def main(self) -> list[Any]:
        empty = Empty(_("Nothing in this month"), _("Payments and usage show up here."), icon="receipt")
        table = Table(self.period.label, line_columns(self.team.currency), self.lines, empty)
        here = self.url("statement")
        months = [
            (one.label, f"{here}?month={one.label}", one is self.period) for one in reversed(self.periods)
        ]
        file = f"{self.url('statement-file')}?month={self.period.label}"
        return [Html("kit/money/months.html", {"choices": months, "file": file, "table": table})]

    def _stood(self) -> Decimal:
        """The balance during a month in which nothing happened."""
        return ledger.balance_at(self.team.pk, at=self.period.end)


class StatementFile(_OfMonth, PanelView):
    """The same month as CSV, exact to the last decimal."""

    permission = P.BILLING_READ
    title = _("Statement")

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return csvfile.stream(self, line_columns(self.team.currency), self.lines)


class Entries(OfTeam, Resource):
    permission = P.BILLING_READ
    title = _("Entries")
    intro = _("Everything that ever changed the balance, exactly.")
    model = Transaction
    order = "-booked"
    search = ("description", "reference__exact")
    search_hint = _("Search by description or machine")
    filters = (Filter("kind", _("Kind"), TransactionKind.choices),)
    empty = Empty(_("No entry yet"), _("Payments and usage show up here."), icon="receipt")
    columns = (
        moment("booked", _("Booked"), "booked_at", cells.exact),
        Column(
            "kind",
            _("Kind"),
            lambda one: kind_of(one.kind),
            sort="kind",
            priority=2,
            text=lambda one: one.kind,
        ),
        Column("description", _("What"), main=True),
        Column("reference", _("Reference"), lambda one: cells.mono(one.reference), priority=3),
        Column(
            "amount",
            _("Amount"),
            lambda one: signed(one.amount, one.currency, 4),
            num=True,
            text=lambda one: plain(one.amount),
        ),
        Column("currency", _("Currency"), priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return ledger.entries(self.actor, team_id=self.team.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (str(_("Statement")), self.url("statement"))]
