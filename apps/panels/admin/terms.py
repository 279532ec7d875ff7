"""What teams pay by, in the Admin panel: price lists, fees, commitments; all of them, and a team's."""

from dataclasses import replace
from functools import cached_property, partial
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import Commitment, Fee, PriceList, Wallet
from apps.billing.models.terms import STANDARD
from apps.billing.selectors import prices, terms, wallets
from apps.billing.services import fees, lists
from apps.billing.services import terms as agreements
from apps.billing.services.fees import NewCommitment, NewFee
from apps.billing.states import FeePeriod
from apps.core.permissions import Permission
from apps.panels import prices as shown
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    FormPage,
    Kpi,
    Kpis,
    Link,
    Page,
    Resource,
    Section,
    Shares,
    Table,
    actions,
    cells,
    moment,
)
from apps.panels.money import product_name
from apps.panels.terms import commitment_columns, fee_columns, progress_row
from apps.teams.models import Team

P = Permission
DAY = forms.DateInput(attrs={"type": "date"})


class OfTerms:
    """What these pages share."""

    panel = "admin"
    nav = "terms"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Terms")), self.url("terms"))]  # type: ignore[attr-defined]


def _can_end(one: Fee | Commitment) -> bool:
    return one.ends_on is None and not (isinstance(one, Fee) and one.period == FeePeriod.ONCE)


END = Action(
    "end",
    _("End"),
    P.PRICE_MANAGE,
    lambda view, one: agreements.end(actor=view.actor, team=one.team, agreed_id=str(one.pk)),
    icon="x",
    when=_can_end,
    confirm=_("What was charged stays. A fee ends with its month, a commitment is settled by its days."),
    danger=True,
    done=_("It ends."),
)


def _agreed(view: Any, title: Any, columns: Any, rows: Any, none: Empty, link: Any = None) -> Table:
    """Fees or commitments, each with the button that ends it."""
    return Table(
        title, columns, rows, none, link=link, buttons=lambda one: actions.buttons(view, (END,), one)
    )


def _whose(view: Any, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns, the first one with the team under the name."""
    team = partial(view.url, "team-terms")
    first = replace(
        columns[0],
        cell=lambda one: cells.two_lines(one.name, cells.link(one.team.name, team(pk=one.team_id))),
    )
    return (first, *columns[1:])


class AllTerms(OfTerms, Page):
    permission = P.PRICE_READ
    title = _("Terms")
    intro = _("What was agreed with single teams: their price lists, fees and commitments.")
    actions = (END,)
    links: ClassVar = (Link(_("Price lists"), "price-lists", P.PRICE_READ, icon="tag", primary=False),)

    def crumbs(self) -> list[tuple[str, str]]:
        return []

    def targets(self, ids: Any) -> list[Any]:
        wanted = set(ids)
        agreed = (terms.all_fees(self.actor)[:200], terms.all_commitments(self.actor)[:200])
        return [one for rows in agreed for one in rows if str(one.pk) in wanted]

    def main(self) -> list[Any]:
        charged, promised = terms.all_fees(self.actor)[:200], terms.all_commitments(self.actor)[:200]
        none = Empty(_("None"), _("They are agreed on a team's page, under Terms."), icon="file-text")
        return [
            _agreed(self, _("Commitments"), _whose(self, commitment_columns()), list(promised), none),
            _agreed(self, _("Fees"), _whose(self, fee_columns()), list(charged), none),
            self._lists(),
        ]

    def _lists(self) -> Table:
        rows = terms.price_lists(self.actor)[:50]
        columns = (
            Column(
                "name",
                _("Name"),
                lambda one: cells.link(one.name, self.url("price-list", pk=one.pk)),
                main=True,
            ),
            Column("slug", _("Short name"), lambda one: cells.mono(one.slug)),
        )
        empty = Empty(_("No list yet"), _("All teams pay the standard prices."), icon="tag")
        return Table(_("Price lists"), columns, list(rows), empty)


# ------------------------------------------------------------ price lists


class PriceListList(OfTerms, Resource):
    permission = P.PRICE_READ
    title = _("Price lists")
    intro = _("What a list does not name costs what it costs in the standard one.")
    model = PriceList
    order = "name"
    search = ("name", "slug")
    search_hint = _("Search by name")
    links = (Link(_("Make a list"), "price-list-new", P.PRICE_MANAGE, icon="plus"),)
    empty = Empty(_("No list yet"), _("All teams pay the standard prices."), links[0], icon="tag")
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="price-list"),
        Column("slug", _("Short name"), sort="slug", mono=True),
        Column("description", _("For whom"), priority=2),
        moment("made", _("Made"), "created_at", priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return terms.price_lists(self.actor)


class PriceListPage(OfTerms, Detail):
    permission = P.PRICE_READ
    model = PriceList

    def rows(self) -> QuerySet[Any]:
        return terms.price_lists(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (str(_("Price lists")), self.url("price-lists"))]

    def heading(self) -> Any:
        return self.object.name

    def meta(self) -> list[Any]:
        return [cells.mono(self.object.slug), self.object.description]

    def main_overview(self) -> list[Any]:
        own = prices.price_book(actor=self.actor).filter(book=self.object.slug, valid_until=None)
        columns = (
            Column(
                "product",
                _("Product"),
                lambda one: cells.link(product_name(one.product), self.url("price", pk=one.pk)),
                main=True,
            ),
            shown.PRICE,
            shown.UNIT,
            shown.MONTH,
            Column("from", _("From"), lambda one: cells.exact(one.valid_from), priority=2),
        )
        change = None
        if self.can(P.PRICE_MANAGE):
            change = (_("Set a price"), f"{self.url('price-new')}?book={self.object.slug}")
        empty = Empty(_("No price of its own"), _("It costs what the standard list does."), icon="tag")
        return [Table(_("Prices of its own"), columns, list(own[:200]), empty, link=change)]

    def aside_overview(self) -> list[Any]:
        columns = (
            Column(
                "name",
                _("Team"),
                lambda one: cells.link(one.name, self.url("team-terms", pk=one.pk)),
                main=True,
            ),
        )
        empty = Empty(_("No team"), _("Choose it on a team's page, under Terms."), icon="users")
        return [Table(_("Teams that pay by it"), columns, terms.payers(self.actor, self.object.slug), empty)]


class ListFields(forms.Form):
    slug = forms.SlugField(label=_("Short name"), max_length=40, help_text=_("It stays for good."))
    name = forms.CharField(label=_("Name"), max_length=80)
    description = forms.CharField(label=_("For whom"), max_length=300, required=False)


class PriceListNew(OfTerms, FormPage):
    permission = P.PRICE_MANAGE
    title = _("Make a price list")
    form_class = ListFields
    submit = _("Make it")
    done = _("The list is there; set prices in it.")

    def save(self, data: dict[str, Any]) -> str:
        made = lists.create_list(actor=self.actor, **data)
        return self.url("price-list", pk=made.pk)


# ------------------------------------------------------------ one team


class TeamTerms(OfTerms, Page):
    permission = P.PRICE_READ
    title = _("Terms")
    actions = (END,)

    @cached_property
    def account(self) -> Wallet:
        return wallets.find_wallet(actor=self.actor, team_id=self.pk)

    @property
    def team(self) -> Team:
        return self.account.team

    @cached_property
    def agreed(self) -> terms.Terms:
        return terms.terms_of(self.actor, self.team)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Teams")), self.url("teams")), (self.team.name, self.url("team", pk=self.pk))]

    def targets(self, ids: Any) -> list[Any]:
        wanted = set(ids)
        return [one for one in (*self.agreed.fees, *self.agreed.commitments) if str(one.pk) in wanted]

    def top(self) -> list[Any]:
        book = _now("the standard one") if self.agreed.book == STANDARD else self.agreed.book
        figures = [
            Kpi(_("Price list"), book),
            Kpi(_("Commitments"), len(self.agreed.commitments)),
            Kpi(_("Fees"), len(self.agreed.fees)),
        ]
        return [Kpis(figures)]

    def main(self) -> list[Any]:
        no_fee = Empty(_("No fee"), _("The team pays for what it uses."), icon="circle-check")
        none = Empty(_("No commitment"), _("The team has promised nothing."), icon="circle-check")
        may = self.can(P.PRICE_MANAGE)
        promise = (_("Note a commitment"), self.url("commitment-new", pk=self.pk)) if may else None
        charge = (_("Charge a fee"), self.url("fee-new", pk=self.pk)) if may else None
        choose = (_("Choose another"), self.url("team-list", pk=self.pk)) if may else None
        book = Column("book", _("List"), lambda one: cells.mono(one), main=True)
        return [
            Table(_("Price list"), (book,), [self.agreed.book], link=choose),
            _agreed(self, _("Commitments"), commitment_columns(), self.agreed.commitments, none, promise),
            _agreed(self, _("Fees"), fee_columns(), self.agreed.fees, no_fee, charge),
        ]

    def aside(self) -> list[Any]:
        used = terms.progress(self.actor, self.agreed.commitments, timezone.now())
        credit = terms.credit_left(self.actor, self.account)
        columns = (
            Column("reason", _("For"), lambda one: one.reason, main=True),
            Column("lapses", _("Lapses"), lambda one: cells.when(one.expires_at)),
            Column("left", _("Left"), lambda one: cells.money(one.left, self.team.currency), num=True),
        )
        none = Empty(_("None"), _("Grants and vouchers show up here."), icon="coins")
        bars = [Shares(_("Used of it this month"), [progress_row(*one) for one in used])] if used else []
        return [*bars, Table(_("Given credit"), columns, list(credit), none)]


class _TeamForm(OfTerms, FormPage):
    permission = P.PRICE_MANAGE

    @cached_property
    def team(self) -> Any:
        return terms.find_team(self.actor, self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Teams")), self.url("teams")), (self.team.name, self.url("team-terms", pk=self.pk))]


class ChoiceFields(forms.Form):
    book = forms.ChoiceField(label=_("Price list"))
    at = forms.DateTimeField(
        label=_("From"),
        required=False,
        help_text=_("A minute from now when left empty."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )


class TeamList(_TeamForm):
    title = _("Choose a price list")
    form_class = ChoiceFields
    submit = _("Choose it")
    done = _("The team pays by it from then on.")
    sections = (Section(_("List"), _("What has been charged stays."), ("book", "at")),)

    def form(self, data: Any = None) -> forms.Form:
        form = ChoiceFields(data)
        known = [(one.slug, one.name) for one in terms.price_lists(self.actor)]
        form.fields["book"].choices = [(STANDARD, _("The standard one")), *known]  # type: ignore[attr-defined]
        return form

    def save(self, data: dict[str, Any]) -> str:
        lists.choose_list(actor=self.actor, team=self.team, **data)
        return self.url("team-terms", pk=self.pk)


class FeeFields(forms.Form):
    name = forms.CharField(label=_("What for"), max_length=80, help_text=_("Stands on the invoice."))
    period = forms.ChoiceField(label=_("How often"), choices=FeePeriod.choices, initial=FeePeriod.MONTH)
    amount = forms.DecimalField(label=_("Amount"), max_digits=12, decimal_places=3, min_value=0)
    included = forms.DecimalField(
        label=_("Credit included"),
        max_digits=12,
        decimal_places=3,
        min_value=0,
        initial=0,
        help_text=_("Lapses with the month."),
    )
    starts_on = forms.DateField(label=_("From"), widget=DAY)
    ends_on = forms.DateField(label=_("Until"), widget=DAY, required=False)


class FeeNew(_TeamForm):
    title = _("Charge a fee")
    form_class = FeeFields
    submit = _("Charge it")
    done = _("The fee is agreed.")
    sections = (
        Section(
            _("Fee"), _("Months are charged in advance, the first one whole."), ("name", "period", "amount")
        ),
        Section(_("With it"), "", ("included", "starts_on", "ends_on")),
    )

    def save(self, data: dict[str, Any]) -> str:
        fees.add_fee(actor=self.actor, team=self.team, new=NewFee(**data))
        return self.url("team-terms", pk=self.pk)


class CommitmentFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("Stands on the invoice."))
    amount = forms.DecimalField(label=_("A month"), max_digits=12, decimal_places=3, min_value=0)
    products = forms.CharField(
        label=_("Products that begin with"), max_length=80, required=False, help_text=_("Empty: everything.")
    )
    starts_on = forms.DateField(label=_("From"), widget=DAY)
    ends_on = forms.DateField(label=_("Until"), widget=DAY, required=False)


class CommitmentNew(_TeamForm):
    title = _("Note a commitment")
    form_class = CommitmentFields
    submit = _("Note it")
    done = _("The commitment counts.")
    sections = (
        Section(
            _("Promise"),
            _("What is missing from a month is charged after its end; parts of months by days."),
            ("name", "amount", "products", "starts_on", "ends_on"),
        ),
    )

    def save(self, data: dict[str, Any]) -> str:
        fees.add_commitment(actor=self.actor, team=self.team, new=NewCommitment(**data))
        return self.url("team-terms", pk=self.pk)
