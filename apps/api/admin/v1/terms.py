"""What a team's prices rest on besides the price book: lists, fees, commitments; and vouchers."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, MoneyField, Out, RowOut, TypedIdField
from apps.billing.models import Commitment, Fee, PriceList, Transaction, Voucher
from apps.billing.selectors import terms
from apps.billing.services import fees, grants, lists
from apps.billing.services import terms as agreements
from apps.billing.services.fees import NewCommitment, NewFee
from apps.billing.services.grants import NewVoucher
from apps.billing.states import FeePeriod
from apps.core.errors import NotFound
from apps.core.permissions import Permission


class ListIn(In):
    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class ListOut(RowOut):
    """A price list: what it does not name costs what it costs in the standard one."""

    class Meta:
        model = PriceList
        fields = ("id", "slug", "name", "description", "created_at")


class PriceListViewSet(PlatformViewSet):
    """Lists of prices that differ from the standard ones."""

    id_prefix = "pls"
    calls = {
        "list": Call(Permission.PRICE_MANAGE, ListOut, summary="List price lists"),
        "create": Call(Permission.PRICE_MANAGE, ListOut, ListIn, 201, summary="Make a price list"),
    }

    def list(self, request: Request) -> Response:
        """All of them; set prices in one by naming it as `book`."""
        return self.page(terms.price_lists(self.actor))

    def create(self, request: Request) -> Response:
        """An empty one."""
        return self.answer(lists.create_list(actor=self.actor, **self.body()))


class FeeOut(RowOut):
    """What is paid once or at the start of every month."""

    class Meta:
        model = Fee
        fields = ("id", "name", "period", "amount", "included", "starts_on", "ends_on", "charged_until")


class CommitmentOut(RowOut):
    """A promise per month; what is missing is charged after it."""

    class Meta:
        model = Commitment
        fields = ("id", "name", "products", "amount", "starts_on", "ends_on", "settled_until")


class TermsOut(Out):
    """By which list a team pays, and what besides."""

    book = serializers.CharField()
    fees = FeeOut(many=True)
    commitments = CommitmentOut(many=True)


class BookIn(In):
    book = serializers.CharField(max_length=40, help_text="A list's short name, or `standard`.")
    at = serializers.DateTimeField(required=False, help_text="By default a minute from now.")


class FeeIn(In):
    name = serializers.CharField(max_length=80)
    period = serializers.ChoiceField(FeePeriod.choices)
    amount = MoneyField(min_value=Decimal(0))
    included = MoneyField(min_value=Decimal(0), required=False)
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(required=False)


class CommitmentIn(In):
    name = serializers.CharField(max_length=80)
    amount = MoneyField(min_value=Decimal(0))
    products = serializers.CharField(max_length=80, required=False, allow_blank=True)
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(required=False)


class EndIn(In):
    agreed = serializers.CharField(max_length=40, help_text="The id of a fee or a commitment of the team.")
    on = serializers.DateField(required=False, help_text="By default today.")


class TermsViewSet(PlatformViewSet):
    """The terms of each team."""

    id_prefix = "team"
    calls = {
        "retrieve": Call(Permission.PRICE_READ, TermsOut, summary="Look at a team's terms"),
        "book": Call(Permission.PRICE_MANAGE, TermsOut, BookIn, summary="Choose a team's price list"),
        "fees": Call(Permission.PRICE_MANAGE, TermsOut, FeeIn, 201, summary="Charge a fee"),
        "commitments": Call(
            Permission.PRICE_MANAGE, TermsOut, CommitmentIn, 201, summary="Note a commitment"
        ),
        "end": Call(Permission.PRICE_MANAGE, TermsOut, EndIn, summary="End a fee or a commitment"),
    }

    def retrieve(self, request: Request, id: str) -> Response:
        """As they are now."""
        return self._answer(self._team(id))

    @action(detail=True, methods=["post"])
    def book(self, request: Request, id: str) -> Response:
        """It counts from a moment in the future on; what has been charged stays."""
        team, given = self._team(id), self.body()
        lists.choose_list(actor=self.actor, team=team, book=given["book"], at=given.get("at"))
        return self._answer(team)

    @action(detail=True, methods=["post"])
    def fees(self, request: Request, id: str) -> Response:
        """Months are charged in advance, the first one whole; included credit lapses with its month."""
        team = self._team(id)
        fees.add_fee(actor=self.actor, team=team, new=NewFee(**self.body()))
        return self._answer(team)

    @action(detail=True, methods=["post"])
    def commitments(self, request: Request, id: str) -> Response:
        """What is missing from a month is charged after its end; parts of months count by days."""
        team = self._team(id)
        fees.add_commitment(actor=self.actor, team=team, new=NewCommitment(**self.body()))
        return self._answer(team)

    @action(detail=True, methods=["post"])
    def end(self, request: Request, id: str) -> Response:
        """What was charged stays. No month that begins after the day is charged as a fee; a commitment is
        settled by its days before it."""
        team, given = self._team(id), self.body()
        agreements.end(actor=self.actor, team=team, agreed_id=given["agreed"], on=given.get("on"))
        return self._answer(team)

    def _team(self, id: str) -> Any:
        return terms.find_team(self.actor, self.id_of("team", id))

    def _answer(self, team: Any) -> Response:
        return self.answer(terms.terms_of(self.actor, team))


class VoucherIn(In):
    """So much credit for whoever enters the code; `credit_days` is how long the credit lasts then."""

    name = serializers.CharField(max_length=120)
    currency = serializers.CharField(max_length=3)
    amount = MoneyField(min_value=Decimal(0))
    uses = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    valid_until = serializers.DateTimeField(required=False)
    credit_days = serializers.IntegerField(min_value=1, max_value=3650, required=False)


class VoucherOut(RowOut):
    """A voucher, without its code: that is told once, when it is made."""

    class Meta:
        model = Voucher
        fields = (
            "id", "hint", "name", "currency", "amount", "uses_left", "valid_until", "credit_days",
            "created_by", "created_at",
        )  # fmt: skip


class NewVoucherOut(VoucherOut):
    """With its code, this once."""

    code = serializers.CharField(read_only=True)

    class Meta(VoucherOut.Meta):
        fields = (*VoucherOut.Meta.fields, "code")  # type: ignore[assignment]


class RedemptionOut(RowOut):
    """A team that redeemed a voucher: the entry of the ledger."""

    team_id = TypedIdField("team", read_only=True)
    team = serializers.CharField(source="team.name", read_only=True)

    class Meta:
        model = Transaction
        fields = ("id", "team_id", "team", "actor_label", "booked_at")


class VoucherViewSet(PlatformViewSet):
    """Codes that turn into credit."""

    id_prefix = "vou"
    calls = {
        "list": Call(Permission.WALLET_CREDIT, VoucherOut, summary="List vouchers"),
        "create": Call(Permission.WALLET_CREDIT, NewVoucherOut, VoucherIn, 201, summary="Make a voucher"),
        "redemptions": Call(
            Permission.WALLET_CREDIT, RedemptionOut, summary="Who redeemed a voucher", many=True
        ),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(terms.vouchers(self.actor))

    def create(self, request: Request) -> Response:
        """The answer holds the code; nothing else ever will."""
        voucher, code = grants.create_voucher(actor=self.actor, new=NewVoucher(**self.body()))
        voucher.code = code  # type: ignore[attr-defined]
        return self.answer(voucher)

    @action(detail=True, methods=["get"])
    def redemptions(self, request: Request, id: str) -> Response:
        """Newest first."""
        voucher = terms.vouchers(self.actor).filter(pk=self.id_of("vou", id)).first()
        if voucher is None:
            raise NotFound("There is no such voucher.")
        found = terms.redemptions(self.actor, voucher)
        return Response({"items": RedemptionOut(found, many=True).data, "next_cursor": None})
