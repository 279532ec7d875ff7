"""Reading budgets: what each leaves, and what the books say was spent."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils.translation import gettext as _

from apps.billing.models import Budget, BudgetAlert
from apps.billing.states import BudgetLevel, BudgetPeriod
from apps.core import statements
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.ids import encode
from apps.core.money import ZERO

PREFIXES = {
    BudgetLevel.TEAM: "team",
    BudgetLevel.WORKSPACE: "wks",
    BudgetLevel.USER: "usr",
    BudgetLevel.KEY: "key",
}

# What was charged, on whose behalf and under which moment it was booked. Fees are nobody's doing.
FACTS = """
    SELECT l.team_id AS team, l.workspace_id AS workspace, m.key_id AS key,
           coalesce(m.user_id, k.user_id) AS usr, l.amount, t.booked_at
      FROM billing_ratedusage l JOIN billing_transaction t ON t.id = l.transaction_id
      LEFT JOIN billing_meter m ON m.resource_id = l.resource_id
      LEFT JOIN teams_apikey k ON k.id = m.key_id
     WHERE l.interval_id IS NOT NULL OR l.event_id IS NOT NULL OR l.reverses IS NOT NULL
    UNION ALL
    SELECT r.team_id, r.workspace_id, r.key_id, k.user_id,
           r.input_amount + r.cached_amount + r.output_amount + r.embedding_amount, t.booked_at
      FROM billing_tokenrequest r JOIN billing_transaction t ON t.id = r.transaction_id
      LEFT JOIN teams_apikey k ON k.id = r.key_id
"""

MATCHES = """
    CASE b.level WHEN 'team' THEN true WHEN 'workspace' THEN b.subject_id = f.workspace
                 WHEN 'key' THEN b.subject_id = f.key ELSE b.subject_id = f.usr END
"""

_SPENT = f"""
SELECT coalesce(sum(f.amount), 0) FROM ({FACTS}) f,
       (SELECT %(level)s::text AS level, %(subject)s::uuid AS subject_id) b
 WHERE f.team = %(team)s AND f.booked_at >= %(start)s AND {MATCHES}
"""  # noqa: S608 - made of this page


def list_budgets(*, actor: Actor) -> QuerySet[Budget]:
    """The budgets in force of the teams whose billing the actor may see, newest first."""
    found: QuerySet[Budget] = Budget.objects.visible_to(actor).filter(removed_at=None)
    return found


def with_spent(found: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """The same with `spent_now`, what is spent of the period that is running."""
    starts = [period_start(period, now) for period in BudgetPeriod.values]
    is_running = Q(pk__in=[])
    for period, start in zip(BudgetPeriod.values, starts, strict=True):
        is_running |= Q(period=period, period_start=start)
    rows: QuerySet[Any] = found.annotate(
        spent_now=Case(When(is_running, then=F("spent")), default=Value(ZERO))
    )
    return rows


def get_budget(*, actor: Actor, budget_id: str) -> Budget:
    found = list_budgets(actor=actor).filter(pk=budget_id).first()
    if found is None:
        raise NotFound(_("There is no such budget."))
    return found


def list_alerts(*, actor: Actor, budget_id: str) -> QuerySet[BudgetAlert]:
    """What was told of a budget, newest first."""
    found: QuerySet[BudgetAlert] = BudgetAlert.objects.visible_to(actor).filter(budget_id=budget_id)
    return found


def spent_since(*, team: UUID, level: str, subject: UUID, start: datetime) -> Decimal:
    """What the books say was charged on somebody's behalf since a moment."""
    values: dict[str, Any] = {"team": team, "level": str(level), "subject": subject, "start": start}
    return Decimal(statements.fetch_one(_SPENT, values)[0])


def spent_now(budget: Budget, now: datetime) -> Decimal:
    """What is spent of the period that is running now; a budget nobody charged since it began has none."""
    return budget.spent if period_start(budget.period, now) == budget.period_start else ZERO


def period_start(period: str, now: datetime) -> datetime:
    """When the day or month (UTC) began."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return start.replace(day=1) if period == "month" else start


def subject_of(budget: Budget) -> str:
    """The typed id of whose budget it is."""
    return encode(PREFIXES[BudgetLevel(budget.level)], budget.subject_id)
