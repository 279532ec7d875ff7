"""Margin in the Admin panel: what customers used, what providers charged for it, what is left."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.selectors import margin
from apps.billing.selectors.margin import MarginRow, ModelMargin, Span
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import (
    Chart,
    Column,
    Empty,
    Html,
    Kpi,
    Kpis,
    Link,
    Page,
    PanelView,
    Series,
    Shares,
    Table,
    cells,
    csvfile,
)
from apps.panels.money import product_name
from apps.regions.selectors import list_regions

P = Permission
RANGES = ((30, _("30 d")), (90, _("90 d")), (365, _("1 year")))
# Less than this of the revenue is worth a look.
THIN = Decimal("0.15")
MOST = 30


class _Spanned(PanelView):
    """So many days until now, in one currency; both stand in the address."""

    panel = "admin"
    permission = P.BILLING_READ
    nav = "margin"

    @cached_property
    def days(self) -> int:
        asked = self.request.GET.get("days", "")
        return int(asked) if asked in {str(days) for days, _label in RANGES} else RANGES[0][0]

    @cached_property
    def span(self) -> Span:
        until = timezone.now().astimezone(UTC).date()
        asked = self.request.GET.get("currency", "")
        currency = asked if asked in dict(CURRENCIES) else CURRENCIES[0][0]
        return Span(until - timedelta(days=self.days - 1), until, currency)

    @cached_property
    def models(self) -> list[ModelMargin]:
        return margin.by_model(self.actor, self.span)


class Margin(_Spanned, Page):
    title = _("Margin")
    intro = _(
        "Usage by day, product and region against what providers charge: their bills, spread over their days,"
        " and their rates of tokens. Before tax."
    )
    links: ClassVar = (
        Link(_("Providers' bills"), "costs", P.BILLING_READ, icon="file-text", primary=False),
        Link(_("Record a bill"), "cost-new", P.WALLET_CREDIT, icon="plus"),
    )

    @cached_property
    def products(self) -> list[MarginRow]:
        return margin.by_product(self.actor, self.span)

    def top(self) -> list[Any]:
        revenue = sum((row.revenue for row in self.products), ZERO)
        cost = sum((row.cost for row in self.products), ZERO)
        whole = MarginRow("", revenue, cost)
        share = "–" if whole.share is None else f"{whole.share:.1%}"
        return [
            Kpis(
                [
                    Kpi(_("Revenue"), self._money(revenue), note=_now("%(n)s days") % {"n": self.days}),
                    Kpi(_("Providers"), self._money(cost), note=_("what they charge for these days")),
                    Kpi(_("Margin"), self._money(whole.margin)),
                    Kpi(_("Of each euro") if self.span.currency == "EUR" else _("Of revenue"), share),
                ]
            )
        ]

    def main(self) -> list[Any]:
        regions = {str(one.pk): one.name for one in list_regions(actor=self.actor)}
        nowhere, everything = _now("without a region"), _now("not divided")
        by_region = margin.by_region(self.actor, self.span)
        return [
            self._chart(),
            self._models(),
            self._table(
                _("By product"),
                _("Product"),
                self.products[:MOST],
                lambda row: product_name(row.key) if row.key else everything,
            ),
            self._table(
                _("By region"), _("Region"), by_region, lambda row: regions.get(row.key, row.key or nowhere)
            ),
        ]

    def aside(self) -> list[Any]:
        here = self.url("margin")
        others = [
            (code, f"{here}?days={self.days}&currency={code}", code == self.span.currency)
            for code, _label in CURRENCIES
        ]
        kept = [(row.key, float(row.share or 0), self._left(row), _tone(row)) for row in self.models[:MOST]]
        return [
            Html("kit/money/choice.html", {"title": _now("Currency"), "choices": others}),
            Shares(_("What models leave"), kept, _("No model was asked in this time.")),
        ]

    def _left(self, row: ModelMargin) -> Any:
        share = "–" if row.share is None else f"{row.share:.0%}"
        return _now("%(left)s, %(share)s") % {"left": self._money(row.margin), "share": share}

    def _models(self) -> Table:
        columns = (
            Column("name", _("Model"), lambda row: row.key, main=True, mono=True),
            Column("tokens", _("Tokens"), lambda row: cells.number(row.tokens), num=True, priority=2),
            Column("revenue", _("Revenue"), lambda row: self._money(row.revenue), num=True),
            Column("cost", _("Providers"), self._charged, num=True, priority=2),
            Column("margin", _("Margin"), lambda row: self._money(row.margin), num=True),
            Column("share", _("Of revenue"), _share, num=True, priority=2),
        )
        empty = Empty(_("No model was asked in this time."), icon="message-square")
        file = f"{self.url('margin-file')}?days={self.days}&currency={self.span.currency}"
        shown = self.models[:MOST]
        return Table(_("By model"), columns, shown, empty, sub=self.span.currency, link=(_("CSV"), file))

    def _charged(self, row: ModelMargin) -> Any:
        """What is charged in other currencies stands below: it is not in the margin."""
        own = self._money(row.cost)
        more = [cells.money(amount, currency) for currency, amount in sorted(row.elsewhere.items())]
        return cells.two_lines(own, _now("and %(sums)s") % {"sums": ", ".join(more)}) if more else own

    def _chart(self) -> Chart:
        days = margin.by_day(self.actor, self.span)
        here, code = self.url("margin"), self.span.currency
        ranges = [(label, f"{here}?days={n}&currency={code}", n == self.days) for n, label in RANGES]
        revenue = sum((came for _day, came, _cost in days), ZERO)
        cost = sum((cost for _day, _came, cost in days), ZERO)
        lines = [
            Series(
                _now("Revenue"), [float(row[1]) for row in days], "s1", fill=True, note=self._money(revenue)
            ),
            Series(_now("Providers"), [float(row[2]) for row in days], "s3", note=self._money(cost)),
        ]
        summary = _now("Revenue and what providers charge, by day; %(left)s is left of %(days)s days.")
        return Chart(
            "margin",
            _("By day"),
            [datetime.combine(row[0], time(), UTC).timestamp() for row in days],
            lines,
            summary % {"left": self._money(revenue - cost), "days": self.days},
            unit="money",
            currency=code,
            days=True,
            ranges=ranges,
        )

    def _table(self, title: Any, label: Any, rows: list[MarginRow], name: Any) -> Table:
        columns = (
            Column("name", label, name, main=True),
            Column("revenue", _("Revenue"), lambda row: self._money(row.revenue), num=True),
            Column("cost", _("Providers"), lambda row: self._money(row.cost), num=True, priority=2),
            Column("margin", _("Margin"), lambda row: self._money(row.margin), num=True),
            Column("share", _("Of revenue"), _share, num=True, priority=2),
        )
        empty = Empty(_("Nothing was used in this time"), icon="chart-column")
        return Table(title, columns, rows, empty, sub=self.span.currency)

    def _money(self, amount: Decimal) -> str:
        return cells.money(amount, self.span.currency)


class MarginFile(_Spanned):
    """What each model leaves as CSV, exact to the last decimal."""

    title = _("Margin by model")
    COLUMNS: ClassVar = (
        Column("model", _("Model"), text=lambda row: row.key),
        Column("tokens", _("Tokens"), text=lambda row: row.tokens),
        Column("revenue", _("Revenue"), text=lambda row: plain(row.revenue)),
        Column("cost", _("Providers"), text=lambda row: plain(row.cost)),
        Column("margin", _("Margin"), text=lambda row: plain(row.margin)),
        Column("elsewhere", _("In other currencies"), text=lambda row: _sums(row.elsewhere)),
    )

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        currency = Column("currency", _("Currency"), text=lambda _row: self.span.currency)
        return csvfile.stream(self, (*self.COLUMNS, currency), self.models)


def _sums(amounts: dict[str, Decimal]) -> str:
    return " ".join(f"{plain(amount)} {currency}" for currency, amount in sorted(amounts.items()))


def _tone(row: MarginRow) -> str:
    if row.share is None or row.share >= THIN:
        return "s1"
    return "bad" if row.share < 0 else "warn"


def _share(row: MarginRow) -> Any:
    if row.share is None:
        return cells.NONE
    text = f"{row.share:.0%}"
    return cells.tag(text, "bad" if row.share < 0 else "warn") if row.share < THIN else text
