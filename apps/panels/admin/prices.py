"""The price book in the Admin panel: versions, changes to come, history."""

from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.billing import services
from apps.billing.curves import Tier
from apps.billing.models import PriceVersion
from apps.billing.models.prices import STATES
from apps.billing.selectors import prices
from apps.billing.services import previews
from apps.billing.services.prices import NewPrice
from apps.billing.states import PriceModel
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.panels import prices as price_columns
from apps.panels.admin.money import CURRENCIES
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
    Resource,
    SavedView,
    Section,
    Table,
    cells,
    moment,
    palette,
)
from apps.panels.money import product_name

WITHDRAW = Action(
    "withdraw",
    _("Withdraw"),
    Permission.PRICE_MANAGE,
    lambda view, version: services.withdraw_price(actor=view.actor, version=version) or view.url("prices"),
    icon="undo-2",
    when=lambda version: version.valid_from > timezone.now(),
    confirm=_("The change does not happen; the price before it goes on."),
    danger=True,
    done=_("The change is withdrawn."),
)


def state_of(version: PriceVersion) -> Any:
    now = timezone.now()
    if version.valid_from > now:
        return cells.status("pending", _("Scheduled"))
    if version.valid_until is not None and version.valid_until <= now:
        return cells.status("ended", _("Past"))
    return cells.status("active", _("In force"))


LIST = Column("book", _("List"), lambda one: cells.tag(one.book), sort="book", priority=2,
              text=lambda one: one.book)  # fmt: skip
COLUMNS = (
    Column("state", _("State"), state_of, text=lambda one: str(state_of(one))),
    price_columns.PRICE,
    price_columns.UNIT,
    price_columns.MONTH,
    moment("from", _("From"), "valid_from", cells.day, priority=2),
    moment("until", _("Until"), "valid_until", cells.day, priority=2),
    Column("by", _("Set by"), lambda one: one.created_by, priority=3, text=lambda one: one.created_by),
)


class PriceList(Resource):
    panel = "admin"
    permission = Permission.PRICE_READ
    title = _("Prices")
    intro = _("Versions follow one another and are never changed.")
    model = PriceVersion
    live = "price."
    order = "product"
    search = ("product",)
    search_hint = _("Search by product")
    filters = (Filter("currency", _("Currency"), CURRENCIES),)
    views = (
        SavedView("in-force", _("In force"), STATES["in_force"]),
        SavedView("scheduled", _("Scheduled"), STATES["scheduled"]),
        SavedView("past", _("Past"), STATES["past"]),
        SavedView("all", _("All")),
    )
    actions = (WITHDRAW,)
    links = (
        Link(_("Matrix"), "price-matrix", Permission.PRICE_READ, icon="grid-3x3", primary=False),
        Link(_("Set a price"), "price-new", Permission.PRICE_MANAGE),
    )
    empty = Empty(_("No price here"), _("What has no price cannot be launched."), links[1], icon="tag")
    columns = (
        Column(
            "product",
            _("Product"),
            lambda one: product_name(one.product),
            sort=("product", "valid_from"),
            main=True,
            to="price",
            text=lambda one: one.product,
        ),
        LIST,
        *COLUMNS,
    )

    def rows(self) -> QuerySet[Any]:
        return prices.price_book(actor=self.actor)


class PriceDetail(Detail):
    panel = "admin"
    permission = Permission.PRICE_READ
    nav = "prices"
    model = PriceVersion
    live = "price."
    actions = (WITHDRAW,)

    def rows(self) -> QuerySet[Any]:
        return prices.price_book(actor=self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Prices")), self.url("prices"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        return [cells.mono(self.object.product), cells.tag(self.object.book), self.object.currency]

    def heading(self) -> Any:
        one = self.object
        return f"{product_name(one.product)}, {cells.price(one.unit_price, one.currency)}"

    def main_overview(self) -> list[Any]:
        one = self.object
        history = self.rows().filter(product=one.product, currency=one.currency, book=one.book)
        change = None
        if self.can(Permission.PRICE_MANAGE):
            asked = {"product": one.product, "currency": one.currency, "book": one.book}
            change = (_("Change"), f"{self.url('price-new')}?{urlencode(asked)}")
        return [Table(_("Versions"), COLUMNS, list(history), link=change)]

    def aside_overview(self) -> list[Any]:
        one = self.object
        concerned = prices.affected(actor=self.actor, product=one.product, currency=one.currency)
        return [
            Facts(
                _("Details"),
                [
                    (_("Id"), cells.mono(one.pk)),
                    (_("Exactly"), cells.mono(plain(one.unit_price))),
                    (_("From"), cells.exact(one.valid_from)),
                    (_("Until"), cells.exact(one.valid_until) if one.valid_until else None),
                    (_("Running resources"), cells.number(concerned)),
                    (_("Note"), one.note or None),
                    (_("Set by"), one.created_by),
                    (_("Set"), cells.exact(one.created_at)),
                ],
            )
        ]


class PriceFields(forms.Form):
    product = forms.CharField(
        label=_("Product"),
        max_length=80,
        help_text=_(
            "type:…, gpu:…, disk, ip, egress, tokens:<model>:input …; “:spot” and “:reserved” follow."
        ),
    )
    currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES)
    book = forms.SlugField(
        label=_("Price list"), max_length=40, required=False, help_text=_("The standard one when left empty.")
    )
    model = forms.ChoiceField(
        label=_("Model"), choices=PriceModel.choices, initial=PriceModel.UNIT, required=False
    )
    tiers = forms.CharField(
        label=_("Tiers"),
        required=False,
        help_text=_("One per line: up to so many units a month, and the price; the last one with “rest”."),
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "100 2.50\nrest 2.00"}),
    )
    package_size = forms.DecimalField(
        label=_("Package of"), required=False, min_value=Decimal("0.001"), decimal_places=3, max_digits=18
    )
    included = forms.DecimalField(
        label=_("Included units a month"), required=False, min_value=0, decimal_places=3, max_digits=18
    )
    unit_price = forms.DecimalField(label=_("Price per unit"), max_digits=18, decimal_places=12, min_value=0)
    valid_from = forms.DateTimeField(
        label=_("From"),
        required=False,
        help_text=_(
            "A minute from now when left empty. Only the first price of a product may lie in the past."
        ),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    note = forms.CharField(label=_("Note"), max_length=200, required=False)

    def clean_tiers(self) -> tuple[Tier, ...]:
        """The lines as tiers; the last one has no bound."""
        tiers = []
        for line in str(self.cleaned_data["tiers"]).split("\n"):
            words = line.split()
            if not words:
                continue
            try:
                bound, price = words
                tiers.append(Tier(None if bound == "rest" else Decimal(bound), Decimal(price)))
            except (ValueError, ArithmeticError):
                raise forms.ValidationError(_("A tier is a bound and a price.")) from None
        return tuple(tiers)


def _minute(text: str) -> datetime | None:
    """The minute of a moment in an address."""
    try:
        return datetime.fromisoformat(text).replace(second=0, microsecond=0)
    except ValueError:
        return None


class PriceNew(FormPage):
    panel = "admin"
    permission = Permission.PRICE_MANAGE
    nav = "prices"
    title = _("Set a price")
    form_class = PriceFields
    submit = _("Set the price")
    preview_label = _("Preview")
    done = _("The price is in the book.")
    sections = (
        Section(
            _("What"),
            _("Machines are one product per instance type, all included."),
            ("product", "currency", "book"),
        ),
        Section(
            _("Price"),
            _("Per hour, charged by the second, or per million tokens. The version before ends there."),
            ("unit_price", "model", "tiers", "package_size", "included", "valid_from", "note"),
            note=lambda view: view.effect,
        ),
    )

    @cached_property
    def effect(self) -> str:
        """Whom the change concerns, when it is known which price it is."""
        given = self.request.POST or self.request.GET
        product, currency = given.get("product", ""), given.get("currency", "")
        if not product:
            return ""
        concerned = prices.affected(actor=self.actor, product=product, currency=currency)
        text = ngettext(
            "%(n)s running resource pays the new price from then on.",
            "%(n)s running resources pay the new price from then on.",
            concerned,
        )
        return text % {"n": concerned}

    def initial(self) -> dict[str, Any]:
        asked = self.request.GET
        product, currency = asked.get("product", ""), asked.get("currency", "EUR")
        known = prices.price_list(currency=currency, at=timezone.now()).filter(product=product).first()
        price = plain(known.unit_price) if known else None
        return {
            "product": product, "currency": currency, "book": asked.get("book", ""), "unit_price": price,
            "valid_from": _minute(asked.get("from", "")),
        }  # fmt: skip

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Prices")), self.url("prices"))]

    def preview(self, data: dict[str, Any]) -> list[Any]:
        found, currency = previews.preview(actor=self.actor, new=_wish(data)), data["currency"]
        gain = found.after - found.before
        kpis = [
            Kpi(_("Running resources"), cells.number(found.resources)),
            Kpi(_("Paid in 30 days"), cells.money(found.before, currency)),
            Kpi(_("With the new price"), cells.money(found.after, currency)),
            Kpi(_("Difference"), cells.money(gain, currency)),
        ]
        columns = (
            Column("team", _("Team"), lambda one: one.name, main=True),
            Column("resources", _("Running"), lambda one: cells.number(one.resources), num=True, priority=2),
            Column("before", _("Paid in 30 days"), lambda one: cells.money(one.before, currency), num=True),
            Column("after", _("With the new price"), lambda one: cells.money(one.after, currency), num=True),
            Column("gain", _("Difference"), lambda one: cells.money(one.after - one.before, currency),
                   num=True, priority=2),
        )  # fmt: skip
        empty = Empty(_("Nobody who pays by this list used it in the last 30 days"), icon="users")
        return [Kpis(kpis), Table(_("Who is concerned"), columns, found.teams, empty)]

    def save(self, data: dict[str, Any]) -> str:
        version = services.schedule_price(actor=self.actor, new=_wish(data))
        return self.url("price", pk=version.pk)


def _wish(data: dict[str, Any]) -> NewPrice:
    return NewPrice(**{name: value for name, value in data.items() if value not in (None, "", ())})


def find(actor: Any, place: Any, text: str) -> list[palette.Hit]:
    found = (
        prices.price_book(actor=actor).in_state("in_force").filter(product__icontains=text)[: palette.LIMIT]
    )
    return [
        palette.Hit(
            one.product, place.url("price", pk=one.pk), "tag", cells.price(one.unit_price, one.currency)
        )
        for one in found
    ]


palette.SOURCES["admin"].append(palette.Source(_("Prices"), Permission.PRICE_READ, find))
