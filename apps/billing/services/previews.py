"""What a price would do before it is set: whom it concerns, what the last month would have cost."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db.models import Count, Sum

from apps.billing.models import Meter, UsageDay, Wallet
from apps.billing.models.terms import STANDARD
from apps.billing.rating import PLACES
from apps.billing.selectors import books
from apps.billing.services.prices import NewPrice, check_price
from apps.billing.specs import SECONDS_PER_HOUR
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.money import ZERO
from apps.core.permissions import Permission
from apps.teams.models import Team

DAYS = 30


@dataclass(frozen=True, slots=True)
class PreviewTeam:
    """A team concerned: its running resources, what 30 days cost and would have cost."""

    team_id: str
    name: str
    resources: int
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """Everybody concerned, those who pay most first."""

    teams: list[PreviewTeam]

    @property
    def resources(self) -> int:
        return sum(team.resources for team in self.teams)

    @property
    def before(self) -> Decimal:
        return sum((team.before for team in self.teams), ZERO)

    @property
    def after(self) -> Decimal:
        return sum((team.after for team in self.teams), ZERO)


def preview(*, actor: Actor, new: NewPrice) -> Preview:
    """Reckon the last thirty days of the product anew for the teams that pay by the price's list."""
    actor.require(Permission.PRICE_MANAGE)
    check_price(new)
    now = db_now()
    days = UsageDay.objects.filter(product=new.product, day__gte=(now - timedelta(days=DAYS)).date())
    sums = (
        days.order_by()
        .values_list("team_id")
        .annotate(seconds=Sum("unit_seconds"), counted=Sum("quantity"), paid=Sum("amount"))
    )
    used = {team: (seconds / SECONDS_PER_HOUR + counted, paid) for team, seconds, counted, paid in sums}
    meters = Meter.objects.running().filter(rates__contains=[[new.product]]).order_by()
    running = dict(meters.values_list("team_id").annotate(n=Count("pk")))
    lists, chosen = {new.book, *_followers(new)}, books.spans({*used, *running}, until=now)
    concerned = [
        team
        for team in {*used, *running} & _paying(new.currency)
        if (chosen[team][-1][0] if team in chosen else STANDARD) in lists
    ]
    names = dict(Team.objects.filter(pk__in=concerned).values_list("pk", "name"))
    rows = [
        PreviewTeam(team, names[team], running.get(team, 0), paid, _cost(new, units))
        for team in concerned
        for units, paid in [used.get(team, (ZERO, ZERO))]
    ]
    return Preview(sorted(rows, key=lambda row: -row.before))


def _cost(new: NewPrice, units: Decimal) -> Decimal:
    curve = new.curve
    return (units * new.unit_price).quantize(PLACES) if curve.is_plain else curve.cost(units)


def _paying(currency: str) -> set[str]:
    return set(Wallet.objects.filter(currency=currency).values_list("team_id", flat=True))


def _followers(new: NewPrice) -> set[str]:
    """Lists that have no price of their own for the product: they follow the standard one."""
    if new.book != STANDARD:
        return set()
    return books.lists_without(new.product, new.currency)
