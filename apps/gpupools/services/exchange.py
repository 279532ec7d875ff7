"""Turning what a holder has into something else, on the node where it is."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.core.errors import NotFound
from apps.gpupools import placement
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.selectors import fleet
from apps.gpupools.services.holding import (
    Held,
    demand_of,
    find,
    hold,
    model_slug,
    placed_at,
    refuse,
    values_of,
)
from apps.gpupools.specs import Candidate, FreeSlice, Placed, Snapshot, Wanted
from apps.policies import services as policies

_EXCHANGE = """
WITH moved AS (
  UPDATE nodes_node n
     SET vcpus_used = n.vcpus_used - %(vcpus_was)s + %(vcpus)s,
         memory_mib_used = n.memory_mib_used - %(memory_was)s + %(memory)s,
         disk_gib_used = n.disk_gib_used - %(disk_was)s + %(disk)s
   WHERE n.id = %(node)s
     AND n.vcpus_used - %(vcpus_was)s + %(vcpus)s <= n.vcpus
     AND n.memory_mib_used - %(memory_was)s + %(memory)s <= n.memory_mib
     AND n.disk_gib_used - %(disk_was)s + %(disk)s <= n.disk_gib
  RETURNING n.id
)
UPDATE gpupools_reservation r
   SET vcpus = %(vcpus)s, memory_mib = %(memory)s, disk_gib = %(disk)s, gpus = %(gpus)s,
       pool_id = %(pool)s, gpu_model_id = %(model)s
  FROM moved WHERE r.id = %(id)s
RETURNING 1
"""

_OWN_SLICES = """
SELECT s.id::text, d.id::text, d.pci_address, d.numa_node, 0
  FROM gpupools_gpuhold h
  JOIN gpupools_gpuslice s ON s.id = h.slice_id
  JOIN gpupools_gpudevice d ON d.id = s.device_id
 WHERE h.reservation_id = %(id)s AND h.released_at IS NULL AND d.pool_id = %(pool)s
 ORDER BY d.pci_address
"""

_LET_GO = """
UPDATE gpupools_gpuhold SET released_at = clock_timestamp()
 WHERE reservation_id = %(id)s AND released_at IS NULL AND NOT slice_id = ANY(%(kept)s::uuid[])
"""


@transaction.atomic
def swap(*, holder_id: str, wanted: Wanted, now: datetime) -> Placed:
    """Turn what the holder has into what is wanted, on the node where it is; all or nothing.

    Slices of the same pool are kept as far as they are still wanted. Raises NotFound, QuotaExceeded, or
    PoolExhausted when it does not fit there.
    """
    held = find(holder_id)
    if held is None:
        raise NotFound(_("Nothing is reserved for it."))
    ask = fleet.in_planner_words(wanted)
    snapshot = _without(fleet.snapshot_of(ask), held)
    found = placement.plan(snapshot, ask, held.team)
    same = [one for one in found.candidates if one.pool and one.pool.pool_id == held.pool]
    chosen = next(iter([*same, *found.candidates]), None)
    if chosen is None:
        refuse(snapshot, found, ask, held.team)
    policies.free(team_id=held.team_id, demand=held.demand)
    policies.consume(team_id=held.team_id, demand=demand_of(wanted, model_slug([chosen])))
    return _exchange(held, ask, chosen, now)


def _without(snapshot: Snapshot, held: Held) -> Snapshot:
    """The holder's node alone, as if the holder had nothing there."""
    nodes = tuple(
        replace(
            node,
            vcpus_left=node.vcpus_left + held.vcpus,
            memory_mib_left=node.memory_mib_left + held.memory_mib,
            disk_gib_left=node.disk_gib_left + held.disk_gib,
            pools=tuple(
                replace(pool, free=min(pool.free + held.gpus, pool.cards))
                if pool.pool_id == held.pool
                else pool
                for pool in node.pools
            ),
        )
        for node in snapshot.nodes
        if node.id == held.node
    )
    return replace(snapshot, nodes=nodes)


def _exchange(held: Held, ask: Wanted, chosen: Candidate, now: datetime) -> Placed:
    """Under the node's lock: move its counters by the difference, then the holds, then the reservation."""
    pool = chosen.pool.pool_id if chosen.pool else None
    values = {**values_of("", held.team, ask, now), "id": held.reservation, "node": held.node, "pool": pool}
    values |= {"vcpus_was": held.vcpus, "memory_was": held.memory_mib, "disk_was": held.disk_gib}
    with connection.cursor() as cursor:
        cursor.execute(_EXCHANGE, values)
        if cursor.fetchone() is None:
            raise PoolExhausted(_("Its node has no room for that."), rejected={"taken_meanwhile": 1})
        cursor.execute(_OWN_SLICES, {"id": held.reservation, "pool": pool})
        own = [FreeSlice(*row) for row in cursor.fetchall()]
        kept = own[: ask.gpus]
        cursor.execute(_LET_GO, {"id": held.reservation, "kept": [one.id for one in kept]})
    added: tuple[FreeSlice, ...] = ()
    if chosen.pool is not None and len(kept) < ask.gpus:
        added = _add(held, chosen, kept, ask.gpus - len(kept))
    return placed_at(held.reservation, chosen, (*kept, *added))


def _add(held: Held, chosen: Candidate, kept: Sequence[FreeSlice], count: int) -> tuple[FreeSlice, ...]:
    assert chosen.pool is not None
    taken = {one.device_id for one in kept}
    free = [one for one in fleet.free_slices(held.node, chosen.pool.pool_id) if one.device_id not in taken]
    added = placement.choose_slices(free, count, packing=chosen.pool.packing)
    if added is None:
        raise PoolExhausted(_("Its node has too few free GPUs for that."), rejected={"too_few_gpus": 1})
    hold(held.reservation, added)
    return added
