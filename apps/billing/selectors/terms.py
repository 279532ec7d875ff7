"""Reading price lists, fees, commitments, grants and vouchers."""

from dataclasses import dataclass

from django.db.models import QuerySet

from apps.billing.models import Commitment, CreditGrant, Fee, PriceList, Voucher
from apps.billing.selectors import books, wallets
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.permissions import Permission
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class Terms:
    """By which list a team pays, and its fees and commitments."""

    book: str
    fees: list[Fee]
    commitments: list[Commitment]


def price_lists(actor: Actor) -> "QuerySet[PriceList]":
    """Every list besides the standard one; for staff."""
    actor.require(Permission.PRICE_READ)
    return PriceList.objects.order_by("-pk")


def vouchers(actor: Actor) -> "QuerySet[Voucher]":
    """Every voucher, newest first; for those who may give credit away."""
    return Voucher.objects.visible_to(actor).order_by("-created_at", "-pk")


def credit_grants(actor: Actor, team_id: str) -> "QuerySet[CreditGrant]":
    """The credit that a team was given, in the order in which it is used."""
    found: QuerySet[CreditGrant] = CreditGrant.objects.visible_to(actor).filter(team_id=team_id)
    return found


def find_team(actor: Actor, team_id: str) -> Team:
    """The team, if its wallet may be seen; NotFound otherwise."""
    return wallets.find_wallet(actor=actor, team_id=team_id).team


def terms_of(actor: Actor, team: Team) -> Terms:
    """The team's terms as they are now."""
    return Terms(
        books.book_of(team.pk, db_now()),
        list(Fee.objects.visible_to(actor).filter(team=team)),
        list(Commitment.objects.visible_to(actor).filter(team=team)),
    )
