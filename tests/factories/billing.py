"""Rows of billing for tests: a paying team, prices, and moments to charge between."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

from apps.billing.models import AccountKind, Posting, PriceVersion, Wallet
from apps.billing.selectors.tokens import price_table
from apps.billing.services import charging, wallets
from apps.billing.specs import Rate, TokenTerms, TokenUsage
from apps.core.actor import SYSTEM
from apps.core.clock import microseconds_of
from apps.core.ids import decode, new_id, new_uuid
from apps.teams.models import Team, Workspace

# All test times lie in the past, where prices are in force; nothing depends on the wall clock.
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
_numbers = count(1)


def make_team(balance: str = "0", *, currency: str = "EUR") -> Team:
    """A team with a workspace and so much money."""
    number = next(_numbers)
    team = Team.objects.create(name=f"Payer {number}", slug=f"payer-{number}", currency=currency)
    Workspace.objects.create(team=team, name="default", slug="default")
    wallets.ensure_wallet(team_id=decode("team", team.pk))
    if Decimal(balance):
        wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(balance), reason="for the test")
    return team


def make_price(product: str, unit_price: str, *, currency: str = "EUR", **fields: Any) -> PriceVersion:
    """A price that is in force from long ago, unless told otherwise."""
    return PriceVersion.objects.create(
        product=product,
        unit_price=Decimal(unit_price),
        currency=currency,
        **({"valid_from": LONG_AGO, "created_by": "test"} | fields),
    )


def total(kind: AccountKind) -> Decimal:
    return sum(Posting.objects.filter(account__kind=kind).values_list("amount", flat=True), Decimal(0))


def make_usage(
    team: Team,
    counts: tuple[int, int, int, int],
    *,
    slug: str = "llama",
    at: datetime = START,
    seconds: int = 0,
    request_id: UUID | None = None,
    **terms: Any,
) -> TokenUsage:
    """A request of the team, at the prices of its moment, as the gateway reports it."""
    prices = price_table(at).of(str(team.pk), slug)
    assert prices is not None
    shared = TokenTerms(
        team_id=str(team.pk), workspace_id=str(team.workspaces.order_by("pk")[0].pk), slug=slug,
        prices=prices, **({"key_id": None} | terms),
    )  # fmt: skip
    number, begun = (request_id or new_uuid()).bytes, microseconds_of(at)
    ended = begun + seconds * 1_000_000
    return TokenUsage(shared, number, *counts, begun, ended, "stop", True)


def after(**delta: int) -> datetime:
    return START + timedelta(**delta)


def begin(team: Team, resource_id: str, *rates: Rate, now: datetime = START) -> None:
    """Begin to charge a resource of the team's first workspace."""
    charging.begin(
        team_id=team.pk,
        workspace_id=team.workspaces.get(slug="default").pk,
        resource_id=resource_id,
        resource_name=f"machine {resource_id[-4:]}",
        region_id=None,
        kind="instance",
        rates=rates,
        now=now,
    )


def resource() -> str:
    return new_id("ins")


def wallet_of(team: Team) -> Wallet:
    return Wallet.objects.get(team=team)
