"""Budgets: how much may be spent in a day or month, by whom, and what happens then."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, MoneyField, RowOut
from apps.billing.models import Budget, BudgetAlert
from apps.billing.selectors import budgets
from apps.billing.services import budgeting
from apps.billing.services.budgeting import BudgetWish
from apps.billing.states import BudgetAction, BudgetLevel, BudgetPeriod
from apps.core.clock import db_now
from apps.core.permissions import Permission


class BudgetIn(In):
    """`subject` is the id of the workspace, person (`usr_…`) or API key; leave it out for the whole team."""

    name = serializers.CharField(max_length=80)
    level = serializers.ChoiceField(choices=BudgetLevel.choices)
    subject = serializers.CharField(max_length=40, required=False, allow_blank=True)
    period = serializers.ChoiceField(choices=BudgetPeriod.choices)
    amount = MoneyField(max_digits=21)
    action = serializers.ChoiceField(choices=BudgetAction.choices)


class BudgetChangeIn(In):
    name = serializers.CharField(max_length=80, required=False)
    amount = MoneyField(max_digits=21, required=False)
    action = serializers.ChoiceField(choices=BudgetAction.choices, required=False)


class BudgetOut(RowOut):
    """A limit and what is spent of it in the day or month (UTC) that is running."""

    subject = serializers.SerializerMethodField(help_text="The id of whose spending it counts.")
    spent = serializers.SerializerMethodField()

    class Meta:
        model = Budget
        fields = (
            "id", "name", "level", "subject", "subject_label", "period", "amount", "action", "spent",
            "created_by_label", "created_at",
        )  # fmt: skip

    def get_subject(self, budget: Budget) -> str:
        return budgets.subject_of(budget)

    def get_spent(self, budget: Budget) -> str:
        now = self.context.get("now") or db_now()
        return MoneyField().to_representation(budgets.spent_now(budget, now))


class AlertOut(RowOut):
    """A threshold, in percent, that was reached."""

    class Meta:
        model = BudgetAlert
        fields = ("threshold", "period_start", "spent", "at")


class BudgetViewSet(TeamViewSet):
    """Limits on what is spent. At 50, 80, 90 and 100 % there is an event `budget.reached` and an e-mail."""

    id_prefix = "bud"
    calls = {
        "list": Call(Permission.BILLING_READ, BudgetOut, summary="List budgets"),
        "create": Call(Permission.BILLING_MANAGE, BudgetOut, BudgetIn, 201, summary="Set a budget"),
        "retrieve": Call(Permission.BILLING_READ, BudgetOut, summary="Look at a budget"),
        "partial_update": Call(
            Permission.BILLING_MANAGE, BudgetOut, BudgetChangeIn, summary="Change a budget"
        ),
        "destroy": Call(Permission.BILLING_MANAGE, status=204, summary="Remove a budget"),
        "alerts": Call(Permission.BILLING_READ, AlertOut, summary="See what was told", many=True),
    }

    def context(self) -> dict[str, Any]:
        return {**super().context(), "now": db_now()}

    def list(self, request: Request) -> Response:
        return self.page(budgets.list_budgets(actor=self.actor))

    def create(self, request: Request) -> Response:
        """What was spent since the day or month began counts from the start. `block` refuses what is new,
        `stop` also stops what runs, before more is used than the budget holds."""
        wish = BudgetWish(**self.body())
        return self.answer(budgeting.set_budget(actor=self.actor, team=self.team, wish=wish))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(budgets.get_budget(actor=self.actor, budget_id=self.id_of("bud", id)))

    def partial_update(self, request: Request, id: str) -> Response:
        budget = self.unchanged(budgets.get_budget(actor=self.actor, budget_id=self.id_of("bud", id)))
        changes: dict[str, str | Decimal] = self.body()
        return self.answer(budgeting.change_budget(actor=self.actor, budget_id=budget.pk, **changes))  # type: ignore[arg-type]

    def destroy(self, request: Request, id: str) -> Response:
        """It limits nothing any more."""
        budgeting.remove_budget(actor=self.actor, budget_id=self.id_of("bud", id))
        return self.answer()

    @action(detail=True)
    def alerts(self, request: Request, id: str) -> Response:
        """Newest first."""
        budget = budgets.get_budget(actor=self.actor, budget_id=self.id_of("bud", id))
        return self.page(budgets.list_alerts(actor=self.actor, budget_id=budget.pk))
