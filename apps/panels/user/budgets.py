"""Budgets in the Console: how much may be spent, by whom, and what happens then."""

from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.billing.models import Budget
from apps.billing.selectors import budgets
from apps.billing.services import budgeting
from apps.billing.services.budgeting import BudgetWish
from apps.billing.states import BudgetAction, BudgetLevel, BudgetPeriod
from apps.core.clock import db_now
from apps.core.permissions import Permission
from apps.panels.kit import Action, Column, Empty, Filter, FormPage, Link, Resource, Section, cells, moment
from apps.teams.selectors import rows

WHOLE_TEAM = "team:"

REMOVE = Action(
    "remove",
    _("Remove"),
    Permission.BILLING_MANAGE,
    lambda view, budget: budgeting.remove_budget(actor=view.actor, budget_id=budget.pk),
    icon="trash-2",
    confirm=_("It limits nothing any more, at once."),
    danger=True,
    bulk=True,
    done=_("The budget is removed."),
)


class BudgetList(Resource):
    panel = "console"
    title = _("Budgets")
    nav = "budgets"
    intro = _("What may be spent in a day or month (UTC). You are told at 50, 80, 90 and 100 %.")
    permission = Permission.BILLING_READ
    model = Budget
    order = "name"
    search = ("name", "subject_label")
    search_hint = _("Search by name or for whom")
    filters = (
        Filter("level", _("For"), BudgetLevel.choices),
        Filter("action", _("Then"), BudgetAction.choices),
    )
    actions = (REMOVE,)
    links = (
        Link(_("Alerts by webhook"), "webhooks", Permission.WEBHOOK_READ, icon="webhook", primary=False),
        Link(_("Set a budget"), "budget-new", Permission.BILLING_MANAGE),
    )
    empty = Empty(
        _("No budget yet"),
        _("Without one the balance is the only limit."),
        Link(_("Set a budget"), "budget-new", Permission.BILLING_MANAGE),
        icon="gauge",
    )
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="budget"),
        Column("spent", _("Spent"),
               lambda one: cells.used(one.spent_now, one.amount, currency=one.team.currency), num=True,
               text=lambda one: one.spent_now),
        Column("period", _("Per"), lambda one: one.get_period_display(), sort="period"),
        Column("level", _("For"), lambda one: one.get_level_display(), sort="level", priority=3),
        Column("subject", _("Of"), lambda one: one.subject_label, sort="subject_label", priority=2),
        Column("action", _("Then"), lambda one: one.get_action_display(), sort="action", priority=2),
        moment("created", _("Set"), "created_at", num=True, priority=3),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return budgets.list_budgets(actor=self.actor)

    def refine(self, found: QuerySet[Any]) -> QuerySet[Any]:
        return budgets.with_spent(found, db_now()).select_related("team")


class BudgetFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    subject = forms.ChoiceField(label=_("Whose spending"))
    period = forms.ChoiceField(label=_("Per"), choices=BudgetPeriod.choices, initial=BudgetPeriod.MONTH)
    amount = forms.DecimalField(label=_("Amount"), max_digits=21, decimal_places=12)
    action = forms.ChoiceField(
        label=_("When it is used up"), choices=BudgetAction.choices, widget=forms.RadioSelect,
        initial=BudgetAction.BLOCK,
        help_text=_("Refusing stops new machines and requests; stopping also switches off what runs."),
    )  # fmt: skip

    def __init__(self, *args: Any, subjects: Any = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        if subjects:
            self.fields["subject"].choices = subjects  # type: ignore[attr-defined]


class BudgetNew(FormPage):
    panel = "console"
    title = _("Set a budget")
    nav = "budgets"
    permission = Permission.BILLING_MANAGE
    form_class: ClassVar[type[forms.Form]] = BudgetFields
    submit = _("Set the budget")
    done = _("The budget holds.")
    sections = (
        Section(
            _("Limit"),
            _("What was spent since the day or month began counts from the start."),
            ("name", "subject", "period", "amount"),
        ),
        Section(_("Consequence"), _("Everybody who may see bills is told in any case."), ("action",)),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Budgets")), self.url("budgets"))]

    def form(self, data: Any = None) -> forms.Form:
        return BudgetFields(data, initial=self.initial(), subjects=self._subjects())

    def save(self, data: dict[str, Any]) -> Any:
        level, _colon, data["subject"] = data["subject"].partition(":")
        wish = BudgetWish(level=level, **data)
        budgeting.set_budget(actor=self.actor, team=self.team, wish=wish)
        return self.url("budgets")

    def _subjects(self) -> list[Any]:
        """The team, its workspaces, people and keys, as far as one may see them."""
        team = self.team
        workspaces = [(f"workspace:{one.pk}", one.name) for one in rows.workspaces(self.actor, team)]
        people = [(f"user:{one.user_id}", one.user.label) for one in rows.members(self.actor, team)]
        keys = [(f"key:{one.pk}", one.name) for one in rows.api_keys(self.actor, team) if not one.revoked_at]
        return [
            (WHOLE_TEAM, _("The whole team")),
            (_("Workspaces"), workspaces),
            (_("People"), people),
            (_("API keys"), keys),
        ]


class BudgetChangeFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    amount = forms.DecimalField(label=_("Amount"), max_digits=21, decimal_places=12)
    action = BudgetFields.base_fields["action"]


class BudgetEdit(BudgetNew):
    title = _("Change the budget")
    form_class = BudgetChangeFields
    submit = _("Change the budget")
    done = _("The budget is changed.")
    sections = (
        Section(_("Limit"), _("It holds from now on; what was spent stays."), ("name", "amount")),
        Section(_("Consequence"), _("Everybody who may see bills is told in any case."), ("action",)),
    )

    def form(self, data: Any = None) -> forms.Form:
        return BudgetChangeFields(data, initial=self.initial())

    def initial(self) -> dict[str, Any]:
        found = budgets.get_budget(actor=self.actor, budget_id=self.pk)
        return {"name": found.name, "amount": found.amount.normalize(), "action": found.action}

    def save(self, data: dict[str, Any]) -> Any:
        budgeting.change_budget(actor=self.actor, budget_id=self.pk, **data)
        return self.url("budgets")
