"""Margin in the Admin panel: what customers used, what providers charged for it, what is left."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import ProviderCost
from apps.billing.selectors import margin
from apps.billing.selectors.margin import MarginRow, Span
from apps.billing.services import costs
from apps.billing.services.costs import CostWish
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import (
    Chart,
    Column,
    Empty,
    Filter,
    FormPage,
    Html,
    Kpi,
    Kpis,
    Link,
    Page,
    Resource,
    Section,
    Series,
    Table,
    cells,
    money,
)
from apps.panels.money import product_name
from apps.regions.selectors import list_regions

P = Permission
RANGES = ((30, _("30 d")), (90, _("90 d")), (365, _("1 year")))
# Less than this of the revenue is worth a look.
THIN = Decimal("0.15")
MOST = 30


class Margin(Page):
    panel = "admin"
    permission = P.BILLING_READ
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
        return [Html("kit/money/choice.html", {"title": _now("Currency"), "choices": others})]

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


def _share(row: MarginRow) -> Any:
    if row.share is None:
        return cells.NONE
    text = f"{row.share:.0%}"
    return cells.tag(text, "bad" if row.share < 0 else "warn") if row.share < THIN else text


class OfCosts:
    """What these pages share."""

    panel = "admin"
    nav = "margin"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Margin")), self.url("margin"))]  # type: ignore[attr-defined]


class CostList(OfCosts, Resource):
    permission = P.BILLING_READ
    title = _("Providers' bills")
    intro = _("Each line is booked once by its reference; a correction is a line below zero.")
    model = ProviderCost
    order = "-ends"
    search = ("provider", "product", "reference")
    search_hint = _("Search by provider, product or reference")
    filters = (Filter("currency", _("Currency"), CURRENCIES),)
    links = (Link(_("Record a bill"), "cost-new", P.WALLET_CREDIT, icon="plus"),)
    empty = Empty(_("No bill yet"), _("Without them the margin is all revenue."), links[0], icon="file-text")
    columns = (
        Column("provider", _("Provider"), sort="provider", main=True),
        Column(
            "product",
            _("Product"),
            lambda one: product_name(one.product) if one.product else cells.NONE,
            sort="product",
            text=lambda one: one.product,
        ),
        Column(
            "starts",
            _("From"),
            lambda one: f"{one.starts_on:%Y-%m-%d}",
            sort="starts_on",
            mono=True,
            priority=2,
        ),
        Column("ends", _("Until"), lambda one: f"{one.ends_on:%Y-%m-%d}", sort="ends_on", mono=True),
        Column(
            "reference",
            _("Reference"),
            lambda one: cells.mono(one.reference),
            priority=3,
            text=lambda one: one.reference,
        ),
        money("amount", _("Amount"), "amount"),
    )

    def rows(self) -> QuerySet[Any]:
        return margin.costs(self.actor)


class CostFields(forms.Form):
    provider = forms.CharField(label=_("Provider"), max_length=80)
    reference = forms.CharField(
        label=_("Reference"), max_length=100, help_text=_("Of the bill's line; once for good.")
    )
    currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES)
    amount = forms.DecimalField(
        label=_("Amount"), max_digits=12, decimal_places=3, help_text=_("Before tax; a credit is below zero.")
    )
    product = forms.CharField(
        label=_("Product"),
        max_length=80,
        required=False,
        help_text=_("Such as type:h100-80gb-1; empty for all."),
    )
    region_id = forms.ChoiceField(label=_("Region"), required=False)
    starts_on = forms.DateField(label=_("From"), widget=forms.DateInput(attrs={"type": "date"}))
    ends_on = forms.DateField(label=_("Until"), widget=forms.DateInput(attrs={"type": "date"}))


class CostNew(OfCosts, FormPage):
    permission = P.WALLET_CREDIT
    title = _("Record a provider's bill")
    form_class = CostFields
    submit = _("Book it")
    done = _("The bill is booked.")
    sections = (
        Section(_("Bill"), _("It cannot be changed later."), ("provider", "reference", "currency", "amount")),
        Section(
            _("What for"),
            _("Its amount is spread over the days."),
            ("product", "region_id", "starts_on", "ends_on"),
        ),
    )

    def form(self, data: Any = None) -> forms.Form:
        form = CostFields(data)
        known = [(str(one.pk), one.name) for one in list_regions(actor=self.actor)]
        form.fields["region_id"].choices = [("", _("All")), *known]  # type: ignore[attr-defined]
        return form

    def save(self, data: dict[str, Any]) -> str:
        wish = CostWish(**data | {"region_id": data["region_id"] or None})
        costs.record_cost(actor=self.actor, wish=wish)
        return self.url("costs")
