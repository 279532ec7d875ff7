"""Setting up who bills, whom, and at which tax."""

from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.invoicing.models import BillingProfile, DocumentKind, DocumentSequence, LegalEntity, TaxRate
from apps.operations.services import emit
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class Address:
    """A name and address on paper; `country` is an ISO 3166 code of two letters."""

    name: str
    country: str
    street: str = ""
    postal_code: str = ""
    city: str = ""
    tax_id: str = ""
    email: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class EntityWish:
    """A company that issues invoices. The prefix of its numbers stays for good."""

    name: str
    country: str
    currency: str
    number_prefix: str
    street: str = ""
    postal_code: str = ""
    city: str = ""
    tax_id: str = ""
    registration: str = ""
    email: str = ""
    bank_details: str = ""
    payment_days: int = 14
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class TaxWish:
    """A rate of a country from a day on."""

    country: str
    name: str
    rate: Decimal
    valid_from: date
    category: str = ""
    is_inclusive: bool = False
    reverse_charge: bool = False


@transaction.atomic
def save_profile(*, actor: Actor, team: Team, address: Address) -> BillingProfile:
    """Say whom the team's future invoices are made out to; those that are final stay as they are."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    _check_country(address.country)
    values = asdict(address) | {"country": address.country.upper(), "updated_at": db_now()}
    profile, _made = BillingProfile.objects.update_or_create(team=team, defaults=values)
    audit.record(actor=actor, action="billing_profile.saved", target=profile, team_id=team.pk)
    emit(type="invoice.profile_saved", subject=team.pk, team_id=team.pk)
    saved: BillingProfile = profile
    return saved


@transaction.atomic
def create_entity(*, actor: Actor, wish: EntityWish) -> LegalEntity:
    """Set up a company, with its number sequences at 1."""
    actor.require(Permission.PRICE_MANAGE)
    _check_country(wish.country)
    _make_room_for_default(wish)
    try:
        with transaction.atomic():
            entity: Any = LegalEntity.objects.create(**asdict(wish) | {"country": wish.country.upper()})
    except IntegrityError as error:
        raise Conflict(_("Another company has this prefix."), field="number_prefix") from error
    for kind in DocumentKind.values:
        DocumentSequence.objects.create(entity=entity, kind=kind)
    audit.record(actor=actor, action="legal_entity.created", target=entity)
    made: LegalEntity = entity
    return made


@transaction.atomic
def update_entity(*, actor: Actor, entity: LegalEntity, wish: EntityWish) -> LegalEntity:
    """Change what future invoices say; the prefix stays."""
    actor.require(Permission.PRICE_MANAGE)
    _check_country(wish.country)
    if wish.number_prefix != entity.number_prefix:
        raise Invalid(_("The prefix of the numbers stays as it is."), field="number_prefix")
    _make_room_for_default(wish)
    for name, value in asdict(wish).items():
        setattr(entity, name, value)
    entity.country = wish.country.upper()
    entity.save()
    audit.record(actor=actor, action="legal_entity.updated", target=entity)
    return entity


@transaction.atomic
def add_tax_rate(*, actor: Actor, wish: TaxWish) -> TaxRate:
    """A rate from a day on, which no invoice has been issued after; earlier rates stay as they were."""
    actor.require(Permission.PRICE_MANAGE)
    _check_country(wish.country)
    country = wish.country.upper()
    if not wish.rate.is_finite() or not 0 <= wish.rate < 1:
        raise Invalid(_("A rate is a fraction: 0.19 is 19 %%."), field="rate")
    others: Any = TaxRate.objects.filter(country=country).exclude(is_inclusive=wish.is_inclusive)
    if others.exists():
        raise Invalid(
            _("Prices in a country either include tax or do not; there are other rates."),
            field="is_inclusive",
        )
    values = asdict(wish) | {"country": country, "created_by": actor.label[:200]}
    try:
        with transaction.atomic():
            rate: Any = TaxRate.objects.create(**values)
    except IntegrityError as error:
        raise Conflict(_("There is a rate from that day on."), field="valid_from") from error
    audit.record(actor=actor, action="tax_rate.added", target=rate, rate=str(wish.rate))
    made: TaxRate = rate
    return made


def _make_room_for_default(wish: EntityWish) -> None:
    if wish.is_default:
        LegalEntity.objects.filter(is_default=True).update(is_default=False)


def _check_country(country: str) -> None:
    if len(country) != 2 or not country.isascii() or not country.isalpha():
        raise Invalid(_("A country is written with two letters, such as DE."), field="country")
