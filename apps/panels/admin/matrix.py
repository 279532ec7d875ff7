"""The price book as a matrix in the Admin panel: products by market, and changes to come."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import PriceVersion
from apps.billing.selectors import prices
from apps.billing.selectors.matrix import Row, by_market
from apps.core.permissions import Permission
from apps.panels import prices as price_columns
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import Column, Empty, Facts, Link, Page, Table, cells
from apps.panels.money import product_name

MARKETS: tuple[tuple[str, Any], ...] = (
    ("", _("On demand")),
    ("spot", _("Spot")),
    ("reserved", _("Reserved")),
    ("stopped", _("Stopped")),
)


class PriceMatrix(Page):
    panel = "admin"
    permission = Permission.PRICE_READ
    nav = "prices"
    title = _("Price matrix")
    intro = _("What is in force, product by market. A price that will change is marked.")
    live = "price."
    links: ClassVar = (
        Link(_("All versions"), "prices", Permission.PRICE_READ, icon="history", primary=False),
        Link(_("Set a price"), "price-new", Permission.PRICE_MANAGE),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Prices")), self.url("prices"))]

    @property
    def currency(self) -> str:
        asked = self.request.GET.get("currency", "")
        return asked if asked in dict(CURRENCIES) else CURRENCIES[0][0]

    def main(self) -> list[Any]:
        rows = by_market(prices.price_book(actor=self.actor), currency=self.currency, at=timezone.now())
        priced = {market for row in rows for market in row.markets}
        columns = (
            Column("product", _("Product"), lambda row: product_name(row.product), main=True),
            Column("book", _("List"), lambda row: cells.tag(row.book), priority=2),
            *(self._market(market, label) for market, label in MARKETS if market in priced or not market),
            Column("unit", _("Per"), lambda row: price_columns.unit_word(row.product), priority=2),
        )
        empty = Empty(_("No price here"), _("What has no price cannot be launched."), icon="tag")
        return [Table(_("In force"), columns, rows, empty, sub=self.currency)]

    def aside(self) -> list[Any]:
        others = [
            (code, cells.link(_now("show"), f"{self.url('price-matrix')}?currency={code}"))
            for code, _label in CURRENCIES
            if code != self.currency
        ]
        return [Facts(_("Other currencies"), others)]

    def _market(self, market: str, label: Any) -> Column:
        return Column(market or "demand", label, lambda row: self._price(row, market), num=True)

    def _price(self, row: Row, market: str) -> Any:
        version = row.markets.get(market)
        if version is None:
            return cells.NONE
        shown = cells.link(
            cells.price(version.unit_price, version.currency), self.url("price", pk=version.pk)
        )
        return cells.join(*_parts(shown, version))


def _parts(shown: Any, version: PriceVersion) -> Iterable[Any]:
    if version.valid_until is None:
        return (shown,)
    return (shown, cells.tag(_("changes"), "warn"))
