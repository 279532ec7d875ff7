"""Vouchers in the Admin panel: made one or many at a time, their codes shown once, who redeemed them."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import Voucher
from apps.billing.selectors import terms
from apps.billing.services import grants
from apps.billing.services.grants import NewVoucher
from apps.core.permissions import Permission
from apps.panels.account.recent import confirm_first
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import (
    Code,
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
    money,
)

P = Permission


class OfVouchers:
    """What these pages share."""

    panel = "admin"
    nav = "vouchers"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Vouchers")), self.url("vouchers"))]  # type: ignore[attr-defined]


def _state(one: Voucher) -> Any:
    if one.uses_left == 0:
        return cells.status("ended", _("Used up"))
    if one.valid_until is not None and one.valid_until <= timezone.now():
        return cells.status("expired", _("Run out"))
    return cells.status("active", _("Open"))


def _lasts(one: Voucher) -> Any:
    return _now("%(n)s days") % {"n": one.credit_days} if one.credit_days else _("for good")


class VoucherList(OfVouchers, Resource):
    permission = P.WALLET_CREDIT
    title = _("Vouchers")
    intro = _("Codes that turn into credit, once per team. Only their first letters are kept.")
    model = Voucher
    order = "-made"
    search = ("name", "hint")
    search_hint = _("Search by name or first letters")
    filters = (Filter("currency", _("Currency"), CURRENCIES),)
    views = (
        SavedView("all", _("All")),
        SavedView("open", _("Open"), Q(uses_left__gt=0)),
        SavedView("used", _("Used up"), Q(uses_left=0)),
    )
    links = (Link(_("Make vouchers"), "voucher-new", P.WALLET_CREDIT, icon="plus"),)
    empty = Empty(
        _("No voucher yet"),
        _("For conferences, courses and people who should try it."),
        links[0],
        icon="coins",
    )
    columns = (
        Column("name", _("For"), sort="name", main=True, to="voucher"),
        Column("hint", _("Begins with"), lambda one: cells.mono(f"{one.hint}-…"), text=lambda one: one.hint),
        Column("state", _("State"), _state, text=lambda one: str(one.uses_left)),
        Column("left", _("Uses left"), lambda one: cells.number(one.uses_left), sort="uses_left", num=True),
        moment("until", _("Until"), "valid_until", priority=2),
        Column("lasts", _("Credit lasts"), _lasts, priority=3, text=lambda one: str(one.credit_days or "")),
        moment("made", _("Made"), "created_at", priority=3),
        money("amount", _("Worth"), "amount"),
    )

    def rows(self) -> QuerySet[Any]:
        return terms.vouchers(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return []


class VoucherPage(OfVouchers, Detail):
    permission = P.WALLET_CREDIT
    model = Voucher

    def rows(self) -> QuerySet[Any]:
        return terms.vouchers(self.actor)

    def heading(self) -> Any:
        return self.object.name

    def status(self) -> Any:
        return _state(self.object)

    def main_overview(self) -> list[Any]:
        one, redeemed = self.object, terms.redemptions(self.actor, self.object)
        given = cells.money(one.amount * len(redeemed), one.currency)
        columns = (
            Column(
                "team",
                _("Team"),
                lambda row: cells.link(row.team.name, self.url("team", pk=row.team_id)),
                main=True,
            ),
            Column("by", _("By"), lambda row: row.actor_label, priority=2),
            Column("at", _("Redeemed"), lambda row: cells.when(row.booked_at)),
            Column(
                "entry",
                _("Ledger"),
                lambda row: cells.link(_now("Entry"), self.url("ledger-entry", pk=row.pk)),
                priority=2,
            ),
        )
        figures = [
            Kpi(_("Redeemed"), cells.number(len(redeemed)), _now("times")),
            Kpi(_("Uses left"), cells.number(one.uses_left)),
            Kpi(_("Given away"), given),
        ]
        empty = Empty(_("Nobody has redeemed it yet"), icon="coins")
        return [Kpis(figures), Table(_("Redeemed by"), columns, redeemed, empty)]

    def aside_overview(self) -> list[Any]:
        one = self.object
        return [
            Facts(
                _("Details"),
                [
                    (_("Worth"), cells.money(one.amount, one.currency)),
                    (_("Begins with"), cells.mono(one.hint)),
                    (_("Until"), cells.exact(one.valid_until) if one.valid_until else _("no end")),
                    (_("Credit lasts"), _lasts(one)),
                    (_("Made by"), one.created_by),
                    (_("Made"), cells.exact(one.created_at)),
                ],
            )
        ]


class VoucherFields(forms.Form):
    name = forms.CharField(label=_("For"), max_length=120, help_text=_("Stands on the team's statement."))
    currency = forms.ChoiceField(label=_("Currency"), choices=CURRENCIES)
    amount = forms.DecimalField(label=_("Worth"), max_digits=12, decimal_places=3, min_value=0)
    count = forms.IntegerField(label=_("How many codes"), min_value=1, max_value=grants.MOST_CODES, initial=1)
    uses = forms.IntegerField(
        label=_("Uses of each"),
        min_value=1,
        max_value=1_000_000,
        initial=1,
        help_text=_("A team uses a code once in any case."),
    )
    valid_until = forms.DateTimeField(
        label=_("Can be redeemed until"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    credit_days = forms.IntegerField(
        label=_("Days the credit lasts"),
        required=False,
        min_value=1,
        max_value=3650,
        help_text=_("Empty: for good."),
    )


class VoucherNew(OfVouchers, FormPage):
    permission = P.WALLET_CREDIT
    title = _("Make vouchers")
    form_class = VoucherFields
    submit = _("Make them")
    codes: tuple[str, ...] = ()
    sections = (
        Section(
            _("Worth"), _("Booked at our expense when a code is redeemed."), ("name", "currency", "amount")
        ),
        Section(_("Codes"), _("One code for many people, or one for each."), ("count", "uses")),
        Section(_("Until when"), "", ("valid_until", "credit_days")),
    )

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return confirm_first(request) or super().get(request, *args, **kwargs)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return confirm_first(request) or super().post(request, *args, **kwargs)

    def save(self, data: dict[str, Any]) -> str:
        count = data.pop("count")
        made = grants.create_vouchers(actor=self.actor, new=NewVoucher(**data), count=count)
        self.codes = tuple(code for _voucher, code in made)
        return self.url("vouchers")

    def answered(self, answer: Any) -> HttpResponseBase:
        if not self.codes:
            return super().answered(answer)
        blocks = [
            Note(_("Copy the codes now. They are shown this once and kept nowhere."), "warn"),
            Code("codes", _("Codes"), [(_now("one per line"), "\n".join(self.codes))]),
        ]
        link = {"label": _("I have them"), "url": self.url("vouchers"), "icon": "check", "primary": True}
        shown = {"top": [], "main": blocks, "aside": [], "links": [link], "title": _("New vouchers")}
        response = self.render("kit/page.html", shown)
        response.headers["Cache-Control"] = "no-store"
        return response
