"""What these pages share: their team, and the ways of paying."""

from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.payments.selectors import providers, rows
from apps.payments.states import Provider
from apps.teams.models import Team

SUM: dict[str, Any] = {"max_digits": 12, "decimal_places": 3, "min_value": 0}


class OfTeam:
    """What all these pages share: they are about the team of their address."""

    panel = "console"
    nav = "billing"

    @cached_property
    def team(self) -> Team:
        team = self.place.team  # type: ignore[attr-defined]
        assert team is not None
        found: Team = team
        return found

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Billing")), self.url("billing"))]  # type: ignore[attr-defined]


def way_field(view: Any) -> forms.ChoiceField:
    """The ways of paying that are open: saved cards first, then the provider's page, then a transfer."""
    choices = [
        (f"{one.provider}:{one.pk}", str(one)) for one in rows.methods(view.actor, team_id=view.team.pk)
    ]
    pages = {
        Provider.STRIPE: _now("Card, on the provider's page"),
        Provider.BANK: _now("Bank transfer"),
        Provider.FAKE: _now("Test payment: no money moves"),
    }
    choices += [(f"{one}:", pages[one]) for one in providers.open_ways()]
    first = choices[0][0] if choices else None
    return forms.ChoiceField(label=_("How"), choices=choices, widget=forms.RadioSelect, initial=first)
