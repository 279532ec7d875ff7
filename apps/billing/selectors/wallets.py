"""Reading wallets: what is left, how fast it goes, how long it lasts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from apps.billing.models import Hold, Meter, Wallet
from apps.billing.models.usage import METER_STATES, MeterQuerySet
from apps.billing.rating import PLACES
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.money import ZERO
from apps.core.permissions import Permission

Meters = MeterQuerySet


@dataclass(frozen=True, slots=True)
class Balance:
    """A team's money: `available` is what new things may use, `burn` what running ones cost per hour."""

    currency: str
    balance: Decimal
    held: Decimal
    credit_limit: Decimal
    available: Decimal
    burn: Decimal

    @property
    def spendable(self) -> Decimal:
        """What running resources may still use up, the part held for them included."""
        return self.balance + self.credit_limit

    @property
    def runway(self) -> Decimal | None:
        """Hours until the money is used up at the present burn; None when nothing burns."""
        return hours_left(self.spendable, self.burn)


@dataclass(frozen=True, slots=True)
class Burn:
    """A running meter, as the billing page lists it."""

    resource_id: str
    name: str
    kind: str
    hourly: Decimal
    short_since: datetime | None


def hours_left(spendable: Decimal, hourly: Decimal) -> Decimal | None:
    """How many hours the money lasts, to a hundredth; None when nothing is used."""
    if hourly <= 0:
        return None
    return max(spendable / hourly, ZERO).quantize(Decimal("0.01"))


def find_wallet(*, actor: Actor, team_id: str) -> Wallet:
    """The team's wallet; NotFound unless the actor may read it."""
    wallet = look_at(actor=actor, team_id=team_id)
    if wallet is None:
        raise NotFound(_("There is no such team."))
    return wallet


def look_at(*, actor: Actor, team_id: str) -> Wallet | None:
    """The team's wallet and what burns there, in one statement; None unless the actor may read it."""
    visible = Wallet.objects.visible_to(actor).select_related("team").filter(team_id=team_id)
    running = Meter.objects.running().filter(team_id=OuterRef("team_id")).order_by().values("team_id")
    burn = Subquery(running.annotate(s=Sum("hourly")).values("s"))
    wallet: Wallet | None = visible.annotate(burn=Coalesce(burn, ZERO)).first()
    return wallet


def balance_of(*, actor: Actor, team_id: str) -> Balance:
    """The team's money now; NotFound unless the actor may read it."""
    return balance_in(find_wallet(actor=actor, team_id=team_id))


def balance(team_id: str) -> Balance:
    """The team's money now; for callers that have asked whether the actor may see it."""
    return balance_in(Wallet.objects.get(team_id=team_id))


def balance_in(wallet: Wallet) -> Balance:
    """The money of a wallet that has been read already."""
    return Balance(
        currency=wallet.currency,
        balance=wallet.balance,
        held=wallet.held,
        credit_limit=wallet.credit_limit,
        available=wallet.available,
        burn=burn_per_hour(wallet.team_id) if wallet.burn is None else wallet.burn.quantize(PLACES),
    )


def burn_per_hour(team_id: str) -> Decimal:
    """What the team's running resources cost per hour at the prices of their last cut."""
    found: Decimal | None = Meter.objects.running().filter(team_id=team_id).aggregate(s=Sum("hourly"))["s"]
    return (found or ZERO).quantize(PLACES)


def runway(team_id: str, *, extra: Decimal = ZERO) -> Decimal | None:
    """Hours the team's money lasts at the present burn plus `extra` per hour."""
    now = balance(team_id)
    return hours_left(now.spendable, now.burn + extra)


def running(actor: Actor, team_id: str) -> list[Burn]:
    """What burns the team's money now, the most expensive first."""
    meters = Meter.objects.visible_to(actor, Permission.BILLING_READ).running().filter(team_id=team_id)
    rows = meters.order_by("-hourly", "resource_id").values_list(
        "resource_id", "resource_name", "kind", "hourly", "short_since"
    )
    return [Burn(*row) for row in rows]


def holds(actor: Actor, team_id: str) -> "QuerySet[Hold]":
    """What is set aside for the team's resources."""
    found: QuerySet[Hold] = Hold.objects.visible_to(actor).filter(team_id=team_id).order_by("-amount")
    return found


def wallets(actor: Actor) -> "QuerySet[Wallet]":
    """Wallets with their team, for staff."""
    found: QuerySet[Wallet] = Wallet.objects.visible_to(actor).select_related("team")
    return found.annotate(left=F("balance") - F("held") + F("credit_limit"))


def burns(team_ids: Iterable[str]) -> dict[str, Decimal]:
    """Burn per hour of several teams at once."""
    rows = Meter.objects.running().filter(team_id__in=list(team_ids)).order_by()
    return dict(rows.values_list("team_id").annotate(s=Sum("hourly")).values_list("team_id", "s"))


def meters(actor: Actor) -> Meters:
    """What is or was charged for."""
    found: Meters = Meter.objects.visible_to(actor, Permission.BILLING_READ).select_related("team")
    return found


def counts(actor: Actor) -> dict[str, int]:
    """How many wallets there are, and how many meters run, are short or parked."""
    meters = Meter.objects.visible_to(actor, Permission.BILLING_READ).order_by()
    found: dict[str, int] = meters.aggregate(
        **{state: Count("pk", filter=METER_STATES[state]) for state in ("running", "short", "parked")}
    )
    return found | {"wallets": Wallet.objects.visible_to(actor).aggregate(n=Count("pk"))["n"]}
