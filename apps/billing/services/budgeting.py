"""Setting, changing and removing budgets."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import Budget, Wallet
from apps.billing.selectors.budgets import PREFIXES, period_start, spent_since
from apps.billing.services import budgets
from apps.billing.states import BudgetLevel
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.ids import decode
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.operations.services import emit
from apps.teams.models import ApiKey, Membership, Team, Workspace

MOST = 100
MOST_AMOUNT = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class BudgetWish:
    """A budget as it is asked for. `subject`: the typed id of a workspace, person or key; "" for the team."""

    name: str
    level: str
    period: str
    amount: Decimal
    action: str
    subject: str = ""


@transaction.atomic
def set_budget(*, actor: Actor, team: Team, wish: BudgetWish) -> Budget:
    """Limit what is spent; what the books show for the running day or month counts from the start."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    _check(wish.name, wish.amount)
    Wallet.objects.select_for_update().get(team=team)  # nothing is charged meanwhile
    Wallet.objects.filter(team=team, is_budgeted=False).update(is_budgeted=True)
    if Budget.objects.filter(team=team, removed_at=None).count() >= MOST:
        raise Conflict(
            _("%(most)s budgets are the most one can have.") % {"most": MOST}, code="too_many_budgets"
        )
    subject, label = _subject(team, wish)
    start = period_start(wish.period, db_now())
    team_uuid = decode("team", team.pk)
    budget: Budget = Budget.objects.create(
        team=team, name=wish.name.strip(), level=wish.level, subject_id=subject, subject_label=label,
        period=wish.period, amount=wish.amount, action=wish.action, period_start=start,
        spent=spent_since(team=team_uuid, level=wish.level, subject=subject, start=start),
        created_by_label=actor.label[:200],
    )  # fmt: skip
    budgets.review(budget)
    _note(actor, budget, "budget.set")
    return budget


@transaction.atomic
def change_budget(
    *, actor: Actor, budget_id: str, name: str | None = None, amount: Decimal | None = None,
    action: str | None = None,
) -> Budget:  # fmt: skip
    """Another name, amount or consequence; alerts below the new amount's share may come again next period."""
    budget = _locked(actor, budget_id)
    budget.name = (name if name is not None else budget.name).strip()
    budget.amount = amount if amount is not None else budget.amount
    budget.action = action or budget.action
    _check(budget.name, budget.amount)
    budget.save(update_fields=["name", "amount", "action"])
    budgets.review(budget)
    _note(actor, budget, "budget.changed")
    return budget


@transaction.atomic
def remove_budget(*, actor: Actor, budget_id: str) -> Budget:
    """It limits nothing any more; what it told stays."""
    budget = _locked(actor, budget_id)
    budget.removed_at = db_now()
    budget.save(update_fields=["removed_at"])
    _note(actor, budget, "budget.removed")
    return budget


def _locked(actor: Actor, budget_id: str) -> Budget:
    known = Budget.objects.visible_to(actor).filter(pk=budget_id, removed_at=None).first()
    if known is None:
        raise NotFound(_("There is no such budget."))
    actor.require(Permission.BILLING_MANAGE, known.team.scope)
    Wallet.objects.select_for_update().get(team_id=known.team_id)
    budget: Budget = Budget.objects.select_for_update(of=("self",)).get(pk=budget_id)
    return budget


def _check(name: str, amount: Decimal) -> None:
    if not 1 <= len(name.strip()) <= 80 or not name.isprintable():
        raise Invalid(_("A budget's name has 1 to 80 characters."), field="name")
    if not amount.is_finite() or not 0 < amount <= MOST_AMOUNT:
        raise Invalid(_("The amount must be positive, and at most a billion."), field="amount")


def _subject(team: Team, wish: BudgetWish) -> tuple[UUID, str]:
    """Whose spending it counts, which must be the team's own."""
    level = BudgetLevel(wish.level)
    if level == BudgetLevel.TEAM:
        return decode("team", team.pk), team.name
    try:
        subject = decode(PREFIXES[level], wish.subject)
    except ValueError as error:
        raise Invalid(_("This is not an id of this kind."), field="subject") from error
    model, key, shown = _SUBJECTS[level]
    rows: QuerySet[Any] = model._default_manager.filter(team=team, **{key: wish.subject})
    label = rows.values_list(shown, flat=True).first()
    if label is None:
        raise Invalid(_("The team has nothing of this id."), field="subject")
    return subject, str(label)[:200]


_SUBJECTS: dict[BudgetLevel, tuple[type[Model], str, str]] = {
    BudgetLevel.WORKSPACE: (Workspace, "pk", "name"),
    BudgetLevel.USER: (Membership, "user_id", "user__email"),
    BudgetLevel.KEY: (ApiKey, "pk", "name"),
}


def _note(actor: Actor, budget: Budget, action: str) -> None:
    about = {"name": budget.name, "amount": plain(budget.amount), "then": str(budget.action)}
    audit.record(actor=actor, action=action, target=budget, **about)
    about["currency"] = budget.team.currency
    emit(type=action, subject=budget.pk, team_id=budget.team_id, data=about)
