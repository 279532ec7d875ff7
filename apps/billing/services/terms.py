"""What a team pays by: the price list and the monthly fee that its pricing policy names."""

from datetime import UTC, date, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import Commitment, Fee, Meter, PriceList, Wallet
from apps.billing.models.terms import STANDARD
from apps.billing.selectors import books
from apps.billing.services import fees, lists
from apps.billing.services.amounts import check_amount
from apps.billing.services.fees import NewFee, next_month
from apps.billing.services.prices import NOTICE
from apps.billing.specs import Terms
from apps.billing.states import FeePeriod
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.permissions import Permission
from apps.teams.models import Team


def check(terms: Terms, *, currency: str) -> None:
    """Raise Invalid for a list that is not there, and for amounts that make no sense."""
    if terms.book != STANDARD and not PriceList.objects.filter(slug=terms.book).exists():
        raise Invalid(_("There is no such price list."), field="price_list")
    for name, amount in (("base_fee", terms.fee), ("included_amount", terms.included)):
        check_amount(amount, currency, is_zero_allowed=True, field=name)


@transaction.atomic
def adopt(*, actor: Actor, team: Team, terms: Terms) -> None:
    """Let a team pay by these terms; asks for the right to set prices when that changes anything.

    The list counts from a minute ahead. A month that was charged under another fee is not charged again:
    the new fee begins with the next one.
    """
    Wallet.objects.select_for_update().get(team=team)
    now = db_now()
    if books.book_of(team.pk, now + NOTICE) != terms.book:
        lists.choose_list(actor=actor, team=team, book=terms.book)
    base: Fee | None = Fee.objects.filter(team=team, is_base=True, ends_on=None).first()
    is_same = (base.amount, base.included) == (terms.fee, terms.included) if base else _is_free(terms)
    if not is_same:
        starts_on = _end_base(actor, base, now.astimezone(UTC).date())
        if not _is_free(terms):
            new = NewFee(terms.name, FeePeriod.MONTH, terms.fee, starts_on, terms.included)
            fees.add_fee(actor=actor, team=team, new=new, is_base=True)


@transaction.atomic
def end(*, actor: Actor, team: Team, agreed_id: str, on: date | None = None) -> None:
    """End one fee or commitment of the team, by default today: see `fees.end_fee`, `fees.end_commitment`."""
    day = on or db_now().astimezone(UTC).date()
    if agreed_id.startswith("com_"):
        commitment = _agreed(Commitment, team, agreed_id)
        fees.end_commitment(actor=actor, commitment=commitment, on=day)
    else:
        fees.end_fee(actor=actor, fee=_agreed(Fee, team, agreed_id), on=day)


def _agreed(model: Any, team: Team, agreed_id: str) -> Any:
    found = model.objects.filter(team=team, pk=agreed_id).first()
    if found is None:
        raise NotFound(_("The team has nothing of this id."), field="agreed")
    return found


@transaction.atomic
def end_all(*, actor: Actor, team: Team) -> None:
    """Let a team that closes be charged for nothing from tomorrow on; refused while it keeps anything."""
    actor.require(Permission.TEAM_SUSPEND)
    Wallet.objects.select_for_update().get(team=team)
    kept = Meter.objects.running().filter(team=team).count()
    if kept:
        raise Conflict(
            _("The team is still charged for what it keeps (%(count)s); delete that first.")
            % {"count": kept},
            code="team_in_use",
        )
    today = db_now().astimezone(UTC).date()
    for fee in Fee.objects.filter(team=team, ends_on=None):
        fees.end_fee(actor=SYSTEM, fee=fee, on=today)
    for commitment in Commitment.objects.filter(team=team, ends_on=None):
        fees.end_commitment(actor=SYSTEM, commitment=commitment, on=today + timedelta(days=1))


def _is_free(terms: Terms) -> bool:
    return not terms.fee and not terms.included


def _end_base(actor: Actor, base: Fee | None, today: date) -> date:
    """End the fee that was paid so far; the day from which another may be charged."""
    if base is None:
        return today
    fees.end_fee(actor=actor, fee=base, on=today)
    is_unpaid = base.charged_until is None and base.starts_on >= today
    return base.starts_on if is_unpaid else next_month(today)
