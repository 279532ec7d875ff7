"""Wallets in the Admin panel: what teams have left, payments and credit."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing import services
from apps.billing.models import Wallet
from apps.billing.selectors import wallets
from apps.core.permissions import Permission
from apps.panels.admin.money import CURRENCIES
from apps.panels.kit import Column, Empty, Filter, FormPage, Resource, SavedView, Section, cells, money
from apps.teams.selectors import rows as teams


class WalletList(Resource):
    panel = "admin"
    permission = Permission.BILLING_READ
    nav = "ledger"
    title = _("Wallets")
    intro = _("What each team has left to spend.")
    model = Wallet
    live = "wallet."
    order = "left"
    search = ("team__name", "team__slug")
    search_hint = _("Search by team")
    filters = (Filter("currency", _("Currency"), CURRENCIES),)
    views = (
        SavedView("all", _("All")),
        SavedView("empty", _("Nothing left"), Q(left__lte=0)),
        SavedView("credit", _("With credit"), Q(credit_limit__gt=0)),
    )
    empty = Empty(_("No wallet yet"), _("Every team gets one."), icon="wallet")
    columns = (
        Column(
            "team",
            _("Team"),
            lambda one: one.team.name,
            sort="team__name",
            main=True,
            to="team",
            text=lambda one: one.team.name,
        ),
        money("balance", _("Balance"), "balance"),
        money("held", _("Held"), "held", priority=2),
        money("limit", _("Credit limit"), "credit_limit", priority=3),
        money("left", _("Free to spend"), "left"),
        Column("currency", _("Currency"), priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return wallets.wallets(self.actor)


class _TeamForm(FormPage):
    """A form about one team's wallet."""

    panel = "admin"
    permission = Permission.WALLET_CREDIT
    nav = "teams"

    @property
    def team(self) -> Any:
        return teams.team(self.actor, self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Teams")), self.url("teams")), (self.team.name, self.url("team", pk=self.pk))]

    def note(self) -> str:
        wallet = wallets.find_wallet(actor=self.actor, team_id=self.team.pk)
        shown = {
            name: cells.money(getattr(wallet, name), wallet.currency) for name in ("balance", "available")
        }
        return _now("Balance %(balance)s, free to spend %(available)s.") % shown


class CreditFields(forms.Form):
    kind = forms.ChoiceField(
        label=_("Kind"),
        choices=(("payment", _("A payment we received")), ("grant", _("Credit we give"))),
        widget=forms.RadioSelect,
        initial="payment",
    )
    amount = forms.DecimalField(label=_("Amount"), max_digits=12, decimal_places=3, min_value=0)
    reason = forms.CharField(
        label=_("Reason"), max_length=200, help_text=_("Stands on the team's statement.")
    )
    reference = forms.CharField(
        label=_("Reference"),
        max_length=100,
        required=False,
        help_text=_("Of the bank or the order. Booked once: the same reference again changes nothing."),
    )


class TeamCredit(_TeamForm):
    title = _("Give credit")
    form_class = CreditFields
    submit = _("Book it")
    done = _("The money is on the balance.")
    sections = (
        Section(
            _("Money"),
            _("In the team's currency; at once free to spend."),
            ("kind", "amount"),
            note=lambda view: view.note(),
        ),
        Section(_("Why"), _("It cannot be changed later."), ("reason", "reference")),
    )

    def save(self, data: dict[str, Any]) -> str:
        book = services.grant_credit if data.pop("kind") == "grant" else services.top_up
        book(actor=self.actor, team=self.team, **data)
        return self.url("team", pk=self.pk)


class LimitFields(forms.Form):
    amount = forms.DecimalField(label=_("Credit limit"), max_digits=12, decimal_places=3, min_value=0)


class TeamLimit(_TeamForm):
    title = _("Credit limit")
    form_class = LimitFields
    submit = _("Set the limit")
    done = _("The credit limit is set.")
    sections = (
        Section(
            _("Limit"),
            _("How much more than it has paid the team may use."),
            ("amount",),
            note=lambda view: view.note(),
        ),
    )

    def initial(self) -> dict[str, Any]:
        return {
            "amount": wallets.find_wallet(actor=self.actor, team_id=self.team.pk).credit_limit.normalize()
        }

    def save(self, data: dict[str, Any]) -> str:
        services.set_credit_limit(actor=self.actor, team=self.team, amount=data["amount"])
        return self.url("team", pk=self.pk)
