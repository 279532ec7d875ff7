"""Providers' bills in the Admin panel: what is set against the revenue."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.billing.models import ProviderCost
from apps.billing.selectors import margin
from apps.billing.services import costs
from apps.billing.services.costs import CostWish
from apps.core.permissions import Permission
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import Column, Empty, Filter, FormPage, Link, Resource, Section, cells, money
from apps.panels.money import product_name
from apps.regions.selectors import list_regions

P = Permission


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
