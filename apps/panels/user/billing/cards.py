"""Saved cards and the automatic top-up."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.money import plain
from apps.core.permissions import Permission
from apps.panels.kit import Action, Column, Empty, FormPage, Link, Resource, Section, cells, moment
from apps.panels.user.billing.common import OfTeam
from apps.payments import services
from apps.payments.models import PaymentMethod
from apps.payments.selectors import providers, rows
from apps.payments.services import AutoWish

P = Permission


DEFAULT = Action(
    "default",
    _("Make default"),
    P.BILLING_MANAGE,
    lambda view, one: (
        services.set_default_method(actor=view.actor, team=view.team, method_id=one.pk) and None
    ),
    icon="check",
    when=lambda one: not one.is_default,
    done=_("Automatic top-ups use this card now."),
)
REMOVE = Action(
    "remove",
    _("Remove"),
    P.BILLING_MANAGE,
    lambda view, one: services.remove_method(actor=view.actor, team=view.team, method_id=one.pk),
    icon="trash-2",
    confirm=_("It is forgotten here and at the provider."),
    danger=True,
    done=_("The card is removed."),
)


class MethodList(OfTeam, Resource):
    permission = P.BILLING_READ
    title = _("Cards")
    intro = _("The provider keeps them; we know the last digits.")
    model = PaymentMethod
    live = "payment."
    order = "-added"
    search = ("last4", "brand")
    search_hint = _("Search by digits")
    actions = (DEFAULT, REMOVE)
    links = (
        Link(_("Automatic top-up"), "auto-top-up", P.BILLING_MANAGE, icon="rotate-cw", primary=False),
        Link(_("Add card"), "method-new", P.BILLING_MANAGE, icon="plus"),
    )
    empty = Empty(_("No card yet"), _("A saved card lets the balance top itself up."), icon="credit-card")
    columns = (
        Column("card", _("Card"), str, main=True, text=str),
        Column("expires", _("Expires"), mono=True),
        Column("default", _("Default"), lambda one: cells.yes_no(one.is_default),
               text=lambda one: one.is_default),
        moment("added", _("Added"), "created_at", priority=2),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return rows.methods(self.actor, team_id=self.team.pk)


class MethodNew(OfTeam, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Add card")
    form_class = forms.Form
    submit = _("Prepare the page")
    template_name = "console/add_card.html"

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (str(_("Cards")), self.url("methods"))]

    def context(self) -> dict[str, Any]:
        return {
            "setup": rows.setup_of(self.actor, team_id=self.team.pk),
            "provider": providers.card_provider(),
        }

    def save(self, data: dict[str, Any]) -> str:
        services.begin_card_setup(actor=self.actor, team=self.team)
        return self.url("method-new")


class AutoFields(forms.Form):
    is_enabled = forms.BooleanField(label=_("Top up by itself"), required=False)
    threshold = forms.DecimalField(
        label=_("When less is free than"), max_digits=12, decimal_places=3, min_value=0
    )
    amount = forms.DecimalField(label=_("Add"), max_digits=12, decimal_places=3, min_value=0)
    monthly_most = forms.DecimalField(
        label=_("At most a month"), max_digits=12, decimal_places=3, min_value=0
    )


class AutoTopUp(OfTeam, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Automatic top-up")
    form_class = AutoFields
    submit = _("Save")
    done = _("Saved.")
    sections: ClassVar = (
        Section(
            _("When and how much"),
            _("The default card is charged. A refused card pauses it until you save this again."),
            ("is_enabled", "threshold", "amount", "monthly_most"),
            note=lambda view: view.note(),
        ),
    )

    def note(self) -> str:
        found = rows.auto_top_up(self.actor, team_id=self.team.pk)
        return (
            _now("Paused: %(why)s") % {"why": found.paused_because} if found and found.paused_because else ""
        )

    def initial(self) -> dict[str, Any]:
        found = rows.auto_top_up(self.actor, team_id=self.team.pk)
        if found is None:
            return {"threshold": 10, "amount": 50, "monthly_most": 500}
        return {
            name: Decimal(plain(value)) if isinstance(value := getattr(found, name), Decimal) else value
            for name in AutoFields.base_fields
        }

    def save(self, data: dict[str, Any]) -> str:
        services.save_auto_top_up(actor=self.actor, team=self.team, wish=AutoWish(**data))
        return self.url("methods")
