"""Where budgets limit what may be held, and hear of what was spent. No budgets, no limits.

`allowed`, `refusal`, `Caps` and `note` are called inside the caller's transaction, under the wallet's lock:
what a team holds and spends is decided by one at a time, so no number of callers can overrun a budget
together. Budgets are locked after wallets, by id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from apps.billing.errors import BudgetUsedUp
from apps.billing.models.budgets import THRESHOLDS, Budget
from apps.billing.specs import Spender
from apps.core import statements
from apps.core.ids import decode, encode
from apps.core.money import ZERO, plain
from apps.operations.services import emit_many
from apps.operations.specs import Happening

# Whose budget it is: the columns of `who` are team, workspace, key and usr.
_MATCHES = """
    CASE b.level WHEN 'team' THEN true WHEN 'workspace' THEN b.subject_id = who.workspace
                 WHEN 'key' THEN b.subject_id = who.key ELSE b.subject_id = who.usr END
"""

# What of a team's holds stands against each budget.
_HELD = """
    SELECT h.resource_id, h.team_id AS team, coalesce(h.workspace_id, m.workspace_id) AS workspace,
           coalesce(h.key_id, m.key_id) AS key, coalesce(h.user_id, m.user_id, k.user_id) AS usr, h.amount
      FROM billing_hold h LEFT JOIN billing_meter m ON m.resource_id = h.resource_id
      LEFT JOIN teams_apikey k ON k.id = coalesce(h.key_id, m.key_id)
"""

_SPENT = "CASE WHEN b.period_start = date_trunc(b.period, %(now)s, 'UTC') THEN b.spent ELSE 0 END"

_LEFT = f"""
WITH who AS (
    SELECT %(team)s::uuid AS team, coalesce(%(workspace)s::uuid, m.workspace_id, h.workspace_id) AS workspace,
           coalesce(%(key)s::uuid, m.key_id, h.key_id) AS key,
           coalesce(%(usr)s::uuid, m.user_id, h.user_id, k.user_id) AS usr
      FROM (SELECT 1) AS one LEFT JOIN billing_meter m ON m.resource_id = %(resource)s
      LEFT JOIN billing_hold h ON h.resource_id = %(resource)s
      LEFT JOIN teams_apikey k ON k.id = coalesce(%(key)s::uuid, m.key_id, h.key_id)
), held AS ({_HELD} WHERE h.team_id = %(team)s AND h.resource_id IS DISTINCT FROM %(resource)s)
SELECT b.name, b.amount - {_SPENT} - coalesce((
           SELECT sum(who.amount) FROM held AS who WHERE {_MATCHES}), 0) AS left
  FROM billing_budget b, who
 WHERE b.team_id = who.team AND b.removed_at IS NULL AND b.action <> 'notify' AND {_MATCHES}
 ORDER BY b.id FOR UPDATE OF b
"""  # noqa: S608 - made of this page

_CAPS = f"""
WITH held AS ({_HELD} WHERE h.team_id = ANY(%(teams)s))
SELECT b.id, b.name, m.resource_id, b.amount - {_SPENT} - coalesce((
           SELECT sum(who.amount) FROM held AS who WHERE who.team = b.team_id AND {_MATCHES}), 0)
  FROM billing_budget b
  JOIN (SELECT m.resource_id, m.team_id AS team, m.workspace_id AS workspace, m.key_id AS key,
               coalesce(m.user_id, k.user_id) AS usr
          FROM billing_meter m LEFT JOIN teams_apikey k ON k.id = m.key_id
         WHERE m.resource_id = ANY(%(resources)s)) AS m ON m.team = b.team_id
 CROSS JOIN LATERAL (SELECT m.workspace, m.key, m.usr) AS who
 WHERE b.removed_at IS NULL AND b.action = 'stop' AND {_MATCHES}
 ORDER BY b.id FOR UPDATE OF b
"""  # noqa: S608 - made of this page

_COUNT = f"""
WITH who AS (
    SELECT s.team, s.workspace, coalesce(s.key, m.key_id) AS key, coalesce(m.user_id, k.user_id) AS usr,
           s.amount
      FROM unnest(%(teams)s::uuid[], %(workspaces)s::uuid[], %(keys)s::uuid[], %(resources)s::text[],
                  %(amounts)s::numeric[]) AS s(team, workspace, key, resource, amount)
      LEFT JOIN billing_meter m ON m.resource_id = s.resource
      LEFT JOIN teams_apikey k ON k.id = coalesce(s.key, m.key_id)
), due AS (
    SELECT b.id, sum(who.amount) AS amount FROM billing_budget b JOIN who ON who.team = b.team_id
     WHERE b.removed_at IS NULL AND {_MATCHES} GROUP BY b.id
), known AS (
    SELECT b.id, due.amount, date_trunc(b.period, %(now)s, 'UTC') AS start
      FROM billing_budget b JOIN due ON due.id = b.id ORDER BY b.id FOR UPDATE OF b
)
UPDATE billing_budget b
   SET spent = CASE WHEN known.start = b.period_start THEN b.spent ELSE 0 END + known.amount,
       alerted = CASE WHEN known.start = b.period_start THEN b.alerted ELSE 0 END, period_start = known.start
  FROM known WHERE b.id = known.id AND known.start >= b.period_start
RETURNING b.id, b.team_id, b.name, b.amount, b.spent, b.alerted, b.period_start
"""  # noqa: S608 - made of this page

_ALERT = """
WITH told AS (
    INSERT INTO billing_budgetalert (budget_id, team_id, period_start, threshold, spent)
    SELECT * FROM unnest(%(budgets)s::uuid[], %(teams)s::uuid[], %(starts)s::timestamptz[],
                         %(thresholds)s::smallint[], %(spent)s::numeric[])
    ON CONFLICT DO NOTHING RETURNING budget_id, threshold
), highest AS (SELECT budget_id, max(threshold) AS threshold FROM told GROUP BY budget_id), noted AS (
    UPDATE billing_budget b SET alerted = highest.threshold FROM highest WHERE b.id = highest.budget_id
)
SELECT told.budget_id, told.threshold, b.period, b.subject_label, b.action, w.currency
  FROM told JOIN billing_budget b ON b.id = told.budget_id JOIN billing_wallet w ON w.team_id = b.team_id
 ORDER BY told.budget_id, told.threshold
"""


def allowed(*, spender: Spender, amount: Decimal, now: datetime) -> tuple[Decimal, str]:
    """How much of the amount the spender's budgets leave, and which one leaves less than all of it, if any.

    Raises BudgetUsedUp when one leaves nothing.
    """
    tightest = ""
    for name, left in _lefts(spender, now):
        if left <= 0:
            raise BudgetUsedUp(_("The budget “%(name)s” is used up.") % {"name": name}, budget=name)
        if left < amount:
            amount, tightest = left, name
    return amount, tightest


def refusal(*, spender: Spender, amount: Decimal, now: datetime) -> BudgetUsedUp | None:
    """Why not all of the amount fits into every budget of the spender, when it does not: for the caller to
    raise once its transaction is in order."""
    for name, left in _lefts(spender, now):
        if left < amount:
            return BudgetUsedUp(
                _("The budget “%(name)s” leaves %(left)s, and %(needed)s is needed to start.")
                % {"name": name, "left": plain(max(left, ZERO)), "needed": plain(amount)},
                budget=name, left=plain(left), needed=plain(amount),
            )  # fmt: skip
    return None


def _lefts(spender: Spender, now: datetime) -> list[tuple[str, Decimal]]:
    values = {
        "team": decode("team", spender.team_id),
        "workspace": _uuid("wks", spender.workspace_id),
        "key": _uuid("key", spender.key_id),
        "usr": _uuid("usr", spender.user_id),
        "resource": spender.resource_id,
        "now": now,
    }
    return statements.fetch_all(_LEFT, values)


class Caps:
    """What the budgets that stop leave to resources that run, kept in step while several are cut."""

    def __init__(self, rows: Iterable[tuple[UUID, str, str, Decimal]]):
        self._left: dict[UUID, Decimal] = {}
        self._of: dict[str, list[UUID]] = {}
        for budget, _name, resource, left in rows:
            self._left[budget] = left
            self._of.setdefault(resource, []).append(budget)

    @classmethod
    def of(cls, *, team_ids: Iterable[str], resource_ids: Iterable[str], now: datetime) -> "Caps":
        values: dict[str, Any] = {"teams": [decode("team", one) for one in team_ids], "now": now}
        return cls(statements.fetch_all(_CAPS, {**values, "resources": list(resource_ids)}))

    def spend(self, resource_id: str, amount: Decimal) -> None:
        """Take so much from the resource's budgets, or give it back."""
        for budget in self._of.get(resource_id, ()):
            self._left[budget] -= amount

    def fit(self, resource_id: str, amount: Decimal) -> Decimal:
        """As much of the amount as all of them leave."""
        lefts = [self._left[budget] for budget in self._of.get(resource_id, ())]
        return max(min([amount, *lefts]), ZERO)


def in_the_way(*, team_id: str, resource_id: str, needed: Decimal, now: datetime) -> str:
    """The name of the budget that leaves a running resource less than it needs; "" when it is the balance."""
    rows: Sequence[Any] = statements.fetch_all(
        _CAPS, {"teams": [decode("team", team_id)], "resources": [resource_id], "now": now}
    )
    lacking = [(left, name) for _id, name, _resource, left in rows]
    return min(lacking)[1] if lacking and min(lacking)[0] < needed else ""


def note(*, spent: Iterable[tuple[Spender, Decimal]], now: datetime) -> None:
    """Count what has just been charged against the spenders' budgets, and tell of thresholds reached.

    `now` is the moment under which it was booked: what belongs to a period that has ended is left out.
    """
    entries = list(spent)
    if not entries:
        return
    columns = {
        "teams": [decode("team", who.team_id) for who, _amount in entries],
        "workspaces": [_uuid("wks", who.workspace_id) for who, _amount in entries],
        "keys": [_uuid("key", who.key_id) for who, _amount in entries],
        "resources": [who.resource_id for who, _amount in entries],
        "amounts": [amount for _who, amount in entries],
    }
    rows = statements.fetch_all(_COUNT, {**columns, "now": now})
    _tell([_Reached(*row) for row in rows])


def review(budget: Budget) -> None:
    """Tell of thresholds that a new or changed amount has already reached; the budget is locked."""
    reached = _Reached(
        id=decode("bud", budget.pk),
        team=decode("team", budget.team_id),
        name=budget.name,
        amount=budget.amount,
        spent=budget.spent,
        alerted=budget.alerted,
        start=budget.period_start,
    )
    _tell([reached])


@dataclass(frozen=True, slots=True)
class _Reached:
    """A budget after something was charged against it."""

    id: UUID
    team: UUID
    name: str
    amount: Decimal
    spent: Decimal
    alerted: int
    start: datetime

    @property
    def thresholds(self) -> list[int]:
        return [one for one in THRESHOLDS if one > self.alerted and self.spent * 100 >= self.amount * one]


def _tell(reached: Sequence[_Reached]) -> None:
    """One alert per threshold and period, whoever gets there first, with its event."""
    new = [(one, threshold) for one in reached for threshold in one.thresholds]
    if not new:
        return
    told = statements.fetch_all(
        _ALERT,
        {
            "budgets": [one.id for one, _threshold in new],
            "teams": [one.team for one, _threshold in new],
            "starts": [one.start for one, _threshold in new],
            "thresholds": [threshold for _one, threshold in new],
            "spent": [one.spent for one, _threshold in new],
        },
    )
    by_id = {one.id: one for one in reached}
    emit_many([_alert(by_id[budget], threshold, more) for budget, threshold, *more in told])


def _alert(one: _Reached, threshold: int, more: Sequence[str]) -> Happening:
    team = encode("team", one.team)
    about = {"name": one.name, "threshold": threshold, "spent": plain(one.spent), "amount": plain(one.amount)}
    about |= dict(zip(("period", "of", "then", "currency"), more, strict=True))
    return Happening("budget.reached", encode("bud", one.id), team, None, about)


def _uuid(prefix: str, typed: str | None) -> UUID | None:
    return decode(prefix, typed) if typed else None
