"""Quotas count in the transaction that takes or gives back the capacity.

A team's counters are locked in one order (level, target, metric), before any node is: whoever calls
both keeps that order.
"""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from apps.core import statements
from apps.core.ids import decode
from apps.policies import selectors
from apps.policies.errors import PolicyRefused, QuotaExceeded
from apps.policies.specs import Demand, Gate, Limits

_CONSUME = """
INSERT INTO policies_quotausage AS q (team_id, level, target, metric, used, ceiling)
SELECT %s::uuid, level, target, metric, amount, ceiling
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
       AS t(level, target, metric, amount, ceiling)
 ORDER BY level, target, metric
ON CONFLICT (team_id, level, target, metric) DO UPDATE
   SET used = q.used + EXCLUDED.used, ceiling = EXCLUDED.ceiling
 WHERE EXCLUDED.ceiling IS NULL OR q.used + EXCLUDED.used <= EXCLUDED.ceiling
RETURNING 1
"""

_FREE = """
WITH locked AS (
  SELECT q.id, t.amount FROM policies_quotausage q
    JOIN unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS t(level, target, metric, amount)
      ON (q.level, q.target, q.metric) = (t.level, t.target, t.metric)
   WHERE q.team_id = %s::uuid
   ORDER BY q.level, q.target, q.metric
     FOR UPDATE OF q
)
UPDATE policies_quotausage q SET used = greatest(q.used - locked.amount, 0) FROM locked WHERE q.id = locked.id
"""


def check(*, team_id: str, demand: Demand, type_slug: str = "", image_slug: str = "") -> None:
    """Raise PolicyRefused with all gates when a policy of the team stands in the way; counts nothing."""
    rules = selectors.rules_of(team_id)
    gates = selectors.explain_gates(rules, demand=demand, type_slug=type_slug, image_slug=image_slug)
    refuse_closed(gates)


def refuse_closed(gates: Iterable[Gate]) -> None:
    """Raise for the first gate that is closed, with all of them in the context."""
    asked = list(gates)
    closed = next((gate for gate in asked if not gate.ok), None)
    if closed is None:
        return
    kind = QuotaExceeded if closed.code.startswith("quota.") else PolicyRefused
    raise kind(closed.message, gates=[gate.as_json() for gate in asked])


def consume(*, team_id: str, demand: Demand) -> None:
    """Count the demand against every level at once, or raise QuotaExceeded; the caller's transaction must
    then roll back."""
    limits = selectors.limits_of(team_id)
    lines = _lines(demand, limits)
    if not lines:
        return
    too_much = any(ceiling is not None and amount > ceiling for *_place, amount, ceiling in lines)
    if too_much or _count(team_id, lines) < len(lines):
        used = selectors.used_by(team_id)
        refuse_closed(selectors.quota_gates(limits=limits, used=used, demand=demand))
        raise QuotaExceeded(_("The team's quota was used up a moment ago."))


def free(*, team_id: str, demand: Demand) -> None:
    """Give back what was consumed. Call it once per release: the caller knows whether it was the first."""
    lines = _lines(demand, Limits())
    if not lines:
        return
    levels, targets, metrics, amounts, _ceilings = map(list, zip(*lines, strict=True))
    statements.run(_FREE, [levels, targets, metrics, amounts, decode("team", team_id)])


def _count(team_id: str, lines: list[tuple[str, str, str, int, int | None]]) -> int:
    levels, targets, metrics, amounts, ceilings = map(list, zip(*lines, strict=True))
    return statements.run(_CONSUME, [decode("team", team_id), levels, targets, metrics, amounts, ceilings])


def _lines(demand: Demand, limits: Limits) -> list[tuple[str, str, str, int, int | None]]:
    return [
        (level, target, metric, amount, limits.ceiling(level, target, metric))
        for level, target in demand.places()
        for metric, amount in demand.amounts().items()
        if amount > 0
    ]
