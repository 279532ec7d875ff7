"""What a team pays: the price list with its own prices, its fees and its commitments."""

from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import Commitment, Fee, PriceVersion
from apps.billing.models.terms import STANDARD
from apps.billing.selectors import prices, terms
from apps.core.permissions import Permission
from apps.panels import prices as price_columns
from apps.panels.kit import (
    Column,
    Empty,
    Filter,
    Kpi,
    Kpis,
    Link,
    Page,
    Resource,
    SavedView,
    Shares,
    Table,
    cells,
    moment,
)
from apps.panels.money import product_name
from apps.panels.terms import commitment_columns, fee_columns, progress_row
from apps.panels.user.billing.common import OfTeam

P = Permission
PRODUCTS = (
    ("type:", _("Machines")),
    ("tokens:", _("Tokens")),
    ("gpu:", _("GPUs")),
    ("disk", _("Disk")),
    ("ip", _("Addresses")),
)


def own_tag(one: PriceVersion) -> Any:
    """Whether it is the team's own price, and what others pay."""
    if one.book == STANDARD:
        return cells.muted(_now("standard"))
    usual = one.standard_price  # type: ignore[attr-defined]
    tag = cells.tag(_now("yours"), "ok")
    return (
        tag
        if usual is None
        else cells.join(
            tag, cells.muted(_now("instead of %(price)s") % {"price": cells.price(usual, one.currency)})
        )
    )


class OfPrices(OfTeam):
    nav = "prices"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Prices")), self.url("prices"))]  # type: ignore[attr-defined]


class Prices(OfPrices, Resource):
    permission = P.PRICE_READ
    title = _("Prices")
    intro = _("What runs is charged by the second. A price changes for the future only.")
    model = PriceVersion
    order = "product"
    search = ("product",)
    search_hint = _("Search by product")
    filters = (Filter("kind", _("Kind"), PRODUCTS, query=lambda value: Q(product__startswith=value)),)
    views = (
        SavedView("all", _("All")),
        SavedView("own", _("Your own"), ~Q(book=STANDARD)),
        SavedView("changing", _("About to change"), Q(valid_until__isnull=False)),
    )
    links = (
        Link(_("Fees and commitments"), "terms", P.BILLING_READ, icon="file-text", primary=False),
        Link(_("Estimate a cost"), "cost", P.PRICE_READ, icon="coins", primary=False),
    )
    empty = Empty(_("No price yet"), _("Nothing is sold in your currency so far."), icon="tag")
    columns = (
        Column(
            "product",
            _("Product"),
            lambda one: product_name(one.product),
            sort="product",
            main=True,
            text=lambda one: one.product,
        ),
        price_columns.PRICE,
        price_columns.UNIT,
        price_columns.DAY,
        price_columns.MONTH,
        Column("own", _("Whose"), own_tag, priority=2, text=lambda one: one.book),
        moment("until", _("Until"), "valid_until", cells.exact, priority=3),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return []

    def rows(self) -> QuerySet[Any]:
        return prices.prices_of(team_id=self.team.pk, currency=self.team.currency, at=timezone.now())


class Terms(OfPrices, Page):
    permission = P.BILLING_READ
    title = _("Fees and commitments")
    intro = _("What was agreed with you besides the prices.")

    def top(self) -> list[Any]:
        found, currency = self.agreed, self.team.currency
        monthly = sum(one.amount for one in found.fees if one.period == "month" and _runs(one))
        promised = sum(one.amount for one in found.commitments if _runs(one))
        book = _now("the standard one") if found.book == STANDARD else found.book
        return [
            Kpis(
                [
                    Kpi(_("Price list"), book),
                    Kpi(_("Fees a month"), cells.money(monthly, currency)),
                    Kpi(_("Committed a month"), cells.money(promised, currency)),
                ]
            )
        ]

    def main(self) -> list[Any]:
        found = self.agreed
        no_fee = Empty(_("No fee"), _("You pay for what you use."), icon="circle-check")
        none = Empty(_("No commitment"), _("You have promised nothing."), icon="circle-check")
        return [
            Table(_("Commitments"), commitment_columns(), found.commitments, none),
            Table(_("Fees"), fee_columns(), found.fees, no_fee),
        ]

    def aside(self) -> list[Any]:
        found = terms.progress(self.actor, self.agreed.commitments, timezone.now())
        rows = [progress_row(*one) for one in found]
        return [Shares(_("Used of it this month"), rows)] if rows else []

    @cached_property
    def agreed(self) -> terms.Terms:
        return terms.terms_of(self.actor, self.team)


def _runs(one: Fee | Commitment) -> bool:
    today = timezone.now().date()
    return one.starts_on <= today and (one.ends_on is None or one.ends_on >= today)
