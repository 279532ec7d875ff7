"""The teams' wallets."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, MoneyField, Out, TypedIdField
from apps.billing import services
from apps.billing.selectors import wallets
from apps.core.permissions import Permission


class WalletOut(Out):
    """The wallet of a team; it has the team's id."""

    team_id = TypedIdField("team")
    team = serializers.CharField(source="team.name")
    currency = serializers.CharField()
    balance = MoneyField()
    held = MoneyField()
    credit_limit = MoneyField()
    available = MoneyField()
    created_at = serializers.DateTimeField()


class MoneyIn(In):
    """Money for a wallet, and why; the same `reference` again changes nothing."""

    amount = MoneyField(min_value=Decimal("0.001"))
    reason = serializers.CharField(max_length=200)
    reference = serializers.CharField(max_length=100, required=False)


class LimitIn(In):
    """How much more than it has paid a team may use."""

    amount = MoneyField(min_value=Decimal(0))


class WalletViewSet(PlatformViewSet):
    """What each team has left to spend."""

    id_prefix = "team"
    calls = {
        "list": Call(Permission.BILLING_READ, WalletOut, summary="List wallets"),
        "retrieve": Call(Permission.BILLING_READ, WalletOut, summary="Look at a team's wallet"),
        "top_ups": Call(Permission.WALLET_CREDIT, WalletOut, MoneyIn, 201, summary="Book a payment"),
        "grants": Call(Permission.WALLET_CREDIT, WalletOut, MoneyIn, 201, summary="Grant credit"),
        "credit_limit": Call(Permission.WALLET_CREDIT, WalletOut, LimitIn, summary="Set the credit limit"),
    }

    def list(self, request: Request) -> Response:
        """By team, the youngest first."""
        return self.page(wallets.wallets(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """What it has left."""
        return self.answer(self._wallet(id))

    @action(detail=True, methods=["post"], url_path="top-ups")
    def top_ups(self, request: Request, id: str) -> Response:
        """A payment that was received outside; booked once per reference."""
        services.top_up(actor=self.actor, team=self._wallet(id).team, **self.body())
        return self.answer(self._wallet(id))

    @action(detail=True, methods=["post"])
    def grants(self, request: Request, id: str) -> Response:
        """Credit at our own expense; booked once per reference."""
        services.grant_credit(actor=self.actor, team=self._wallet(id).team, **self.body())
        return self.answer(self._wallet(id))

    @action(detail=True, methods=["post"], url_path="credit-limit")
    def credit_limit(self, request: Request, id: str) -> Response:
        """It cannot fall below what the team already uses."""
        services.set_credit_limit(actor=self.actor, team=self._wallet(id).team, **self.body())
        return self.answer(self._wallet(id))

    def _wallet(self, id: str) -> Any:
        return wallets.find_wallet(actor=self.actor, team_id=self.id_of("team", id))
