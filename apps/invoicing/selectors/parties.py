"""Reading who bills, who is billed, and the tax between them."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.permissions import Role
from apps.invoicing.errors import NoEntity
from apps.invoicing.models import BillingProfile, LegalEntity, TaxRate
from apps.invoicing.specs import TaxRule
from apps.teams.models import Team
from apps.teams.selectors.rows import addresses_of


def entities(actor: Actor) -> "QuerySet[Any]":
    """The provider's companies, for its staff."""
    return LegalEntity.objects.visible_to(actor)


def find_entity(actor: Actor, entity_id: str) -> LegalEntity:
    found: LegalEntity | None = entities(actor).filter(pk=entity_id).first()
    if found is None:
        raise NotFound(_("There is no such company."))
    return found


def entities_by_currency(currencies: Iterable[str]) -> dict[str, LegalEntity]:
    """Which company bills in which of the currencies; raises NoEntity when there is none at all."""
    rows: list[Any] = list(LegalEntity.objects.order_by("-is_default", "created_at"))
    if not rows:
        raise NoEntity(_("Set up a company that issues the invoices first."))
    default = rows[0]
    own = {row.currency: row for row in reversed(rows)}
    return {currency: own.get(currency, default) for currency in currencies}


def profile_of(*, actor: Actor, team: Team) -> BillingProfile:
    """Whom the team's invoices are made out to; a blank one in the team's name when nobody has said."""
    found: BillingProfile | None = BillingProfile.objects.visible_to(actor).filter(team=team).first()
    return found or BillingProfile(team=team, name=team.name)


def addresses(team_id: str) -> list[str]:
    """Where the team's letters about money go: the address it has given, or else those who pay for it."""
    given = BillingProfile.objects.filter(team_id=team_id).exclude(email="").values_list("email", flat=True)
    return list(given) or addresses_of(team_id, Role.TEAM_ADMIN, Role.TEAM_BILLING)


def tax_rates(actor: Actor) -> "QuerySet[Any]":
    """Every rate there is or was, for staff."""
    return TaxRate.objects.visible_to(actor)


def find_tax_rate(actor: Actor, rate_id: str) -> TaxRate:
    found: TaxRate | None = tax_rates(actor).filter(pk=rate_id).first()
    if found is None:
        raise NotFound(_("There is no such tax rate."))
    return found


def tax_rules(country: str) -> list[TaxRule]:
    """The rates of a country as the reckoning wants them."""
    rows: Any = TaxRate.objects.filter(country=country)
    return [
        TaxRule(
            row.pk,
            row.country,
            row.category,
            row.name,
            row.rate,
            is_inclusive=row.is_inclusive,
            reverse_charge=row.reverse_charge,
            valid_from=row.valid_from,
        )
        for row in rows
    ]
