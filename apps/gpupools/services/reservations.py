"""Capacity is taken and given back here and nowhere else.

Lock order, for every caller: money first, then these services last in the transaction; inside, the
holder's reservation, the team's quota counters, then the node. A node's row lock is what makes the choice
of slices on it safe: every hold on a node is written under it.

The first try never waits: it takes the best candidate that nobody else is deciding about. Only when all
are busy does it wait for the best few, in the order of their ids, and decide anew.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import statements
from apps.core.ids import encode, new_uuid
from apps.gpupools import placement
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.selectors import fleet
from apps.gpupools.services.exchange import swap
from apps.gpupools.services.holding import (
    Missed,
    demand_of,
    find,
    hold,
    model_slug,
    placed_at,
    refuse,
    values_of,
)
from apps.gpupools.specs import Candidate, FreeSlice, Placed, Plan, PoolOnNode, Wanted
from apps.nodes.models import Node
from apps.policies import services as policies

_TRY = 8  # how many candidates a try without waiting looks at
_WAIT_FOR = 3
_ATTEMPTS = 30

_TAKE = """
WITH candidate AS (
  SELECT n.id, c.pool FROM nodes_node n
    JOIN unnest(%(nodes)s::uuid[], %(pools)s::uuid[]) WITH ORDINALITY AS c(id, pool, rank) ON c.id = n.id
   WHERE n.state = 'ready' AND n.health = 'healthy'
     AND n.vcpus_used + %(vcpus)s <= n.vcpus
     AND n.memory_mib_used + %(memory)s <= n.memory_mib
     AND n.disk_gib_used + %(disk)s <= n.disk_gib
   ORDER BY c.rank LIMIT 1
     FOR NO KEY UPDATE OF n SKIP LOCKED
), taken AS (
  UPDATE nodes_node n
     SET vcpus_used = n.vcpus_used + %(vcpus)s,
         memory_mib_used = n.memory_mib_used + %(memory)s,
         disk_gib_used = n.disk_gib_used + %(disk)s
    FROM candidate WHERE n.id = candidate.id
  RETURNING n.id, candidate.pool
)
INSERT INTO gpupools_reservation
       (id, holder_id, team_id, region_id, node_id, pool_id, gpu_model_id, group_id,
        vcpus, memory_mib, disk_gib, gpus, created_at)
SELECT %(id)s, %(holder)s, %(team)s, %(region)s, taken.id, taken.pool, %(model)s, %(group)s,
       %(vcpus)s, %(memory)s, %(disk)s, %(gpus)s, %(now)s FROM taken
RETURNING node_id::text, pool_id::text
"""


_GIVE_BACK = """
WITH ended AS (
  UPDATE gpupools_reservation SET released_at = clock_timestamp()
   WHERE id = %(id)s AND released_at IS NULL
  RETURNING id, node_id, vcpus, memory_mib, disk_gib
), freed AS (
  UPDATE nodes_node n
     SET vcpus_used = n.vcpus_used - ended.vcpus,
         memory_mib_used = n.memory_mib_used - ended.memory_mib,
         disk_gib_used = n.disk_gib_used - ended.disk_gib
    FROM ended WHERE n.id = ended.node_id
), unheld AS (
  UPDATE gpupools_gpuhold h SET released_at = clock_timestamp()
    FROM ended WHERE h.reservation_id = ended.id AND h.released_at IS NULL
)
SELECT 1 FROM ended
"""


def reserve(*, holder_id: str, team_id: str, wanted: Wanted, now: datetime) -> Placed:
    """Take quota, a node's capacity and GPU slices for the holder, who has none yet.

    Raises QuotaExceeded, or PoolExhausted with the reasons and the nearest wish that would pass; then
    nothing is taken and the caller's transaction may go on.
    """
    ask = fleet.in_planner_words(wanted)
    values = values_of(holder_id, fleet.raw("team", team_id), ask, now)
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                return _attempt(ask, values, is_patient=attempt > 0)
        except Missed:
            continue
    raise PoolExhausted(_("Too many ask for the same machines; try again."), code="busy", retry_after=1)


def _attempt(ask: Wanted, values: dict[str, Any], *, is_patient: bool) -> Placed:
    """Decide and take; raises Missed when others decide about all that would do. A patient attempt
    waits for the best few first."""
    team = values["team"]
    found = _plan(ask, team)
    demand = demand_of(fleet.in_plain_words(ask), model_slug(found.candidates))
    policies.consume(team_id=encode("team", UUID(team)), demand=demand)
    if is_patient:
        ids = [encode("node", UUID(one.node.id)) for one in found.candidates[:_WAIT_FOR]]
        busy = Node.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=ids)
        list(busy.order_by("pk").values("pk"))
        found = _plan(ask, team)
    return _take(found.candidates[:_TRY], ask, values)


def _plan(ask: Wanted, team: str) -> Plan:
    snapshot, found = fleet.plan_for(ask, team)
    if not found.candidates:
        refuse(snapshot, found, ask, team)
    return found


@transaction.atomic
def release(*, holder_id: str) -> bool:
    """Give everything back; False when the holder has nothing (any more)."""
    held = find(holder_id)
    if held is None:
        return False
    policies.free(team_id=held.team_id, demand=held.demand)
    statements.run(_GIVE_BACK, {"id": held.reservation})
    return True


def _take(candidates: Sequence[Candidate], ask: Wanted, values: dict[str, Any]) -> Placed:
    reservation = new_uuid()
    nodes = [one.node.id for one in candidates]
    pools = [one.pool.pool_id if one.pool else None for one in candidates]
    row = statements.fetch_one(_TAKE, {**values, "id": reservation, "nodes": nodes, "pools": pools})
    if row is None:
        raise Missed
    chosen = next(
        one
        for one in candidates
        if one.node.id == row[0] and (one.pool.pool_id if one.pool else None) == row[1]
    )
    slices: tuple[FreeSlice, ...] = ()
    if chosen.pool is not None:
        free = fleet.free_slices(chosen.node.id, chosen.pool.pool_id)
        slices = _choose(free, ask.gpus, chosen.pool)
        hold(reservation, slices)
    return placed_at(reservation, chosen, slices)


def _choose(free: Sequence[FreeSlice], count: int, pool: PoolOnNode) -> tuple[FreeSlice, ...]:
    found = placement.choose_slices(free, count, packing=pool.packing)
    if found is None:
        raise Missed
    return found


__all__ = ["demand_of", "release", "reserve", "swap"]
