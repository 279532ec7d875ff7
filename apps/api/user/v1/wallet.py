"""The team's money: what is left, and how long it lasts."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import MoneyField, Out
from apps.billing.selectors import wallets
from apps.core.permissions import Permission


class WalletOut(Out):
    """`available` is what new things may use; `held` is set aside for running ones."""

    currency = serializers.CharField()
    balance = MoneyField()
    held = MoneyField()
    credit_limit = MoneyField()
    available = MoneyField()
    burn_per_hour = MoneyField(source="burn")
    runway_hours = MoneyField(source="runway", allow_null=True)


class WalletViewSet(TeamViewSet):
    """The team's wallet; it is filled by the platform's staff."""

    calls = {"retrieve": Call(Permission.BILLING_READ, WalletOut, summary="Look at the wallet")}

    def retrieve(self, request: Request) -> Response:
        """With what running resources cost per hour now, and how many hours that can go on."""
        return self.answer(wallets.balance_of(actor=self.actor, team_id=self.scope.id))
