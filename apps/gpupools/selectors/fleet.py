"""The fleet as the planner sees it, read in one statement."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from apps.core import statements
from apps.core.ids import decode, encode
from apps.gpupools import placement
from apps.gpupools.specs import FreeSlice, NodeView, Plan, PoolOnNode, Snapshot, Wanted
from apps.regions.states import RegionState

# What is free of a pool on a node is counted in whole cards: two shares of one card never serve one machine.
_FLEET = """
WITH gpu AS (
  SELECT d.node_id, d.pool_id, count(DISTINCT d.id) AS cards,
         count(DISTINCT d.id) FILTER (
           WHERE h.id IS NULL AND d.health = 'healthy' AND NOT d.is_isolated) AS free
    FROM gpupools_gpudevice d
    JOIN gpupools_gpuslice s ON s.device_id = d.id AND s.is_offered
    LEFT JOIN gpupools_gpuhold h ON h.slice_id = s.id AND h.released_at IS NULL
   WHERE d.region_id = ANY(%(regions)s) AND (%(every_model)s OR d.model_id = %(model)s)
   GROUP BY d.node_id, d.pool_id
)
SELECT r.id::text, r.state, r.frozen_at IS NOT NULL,
       n.id::text, n.name, n.cluster_id::text, n.zone_id::text, c.kind, n.state, n.health, c.state = 'active',
       n.vcpus, n.memory_mib, n.disk_gib,
       n.vcpus - n.vcpus_used, n.memory_mib - n.memory_mib_used, n.disk_gib - n.disk_gib_used,
       EXISTS (SELECT 1 FROM gpupools_gpudevice d WHERE d.node_id = n.id),
       CASE WHEN %(with_groups)s THEN
         ARRAY(SELECT g.resourcegroup_id::text FROM nodes_resourcegroup_nodes g WHERE g.node_id = n.id) END,
       p.id::text, p.gpu_model_id::text, p.team_id::text, p.isolation, p.placement, p.state = 'active',
       gpu.free, gpu.cards, m.slug
  FROM regions_region r
  LEFT JOIN regions_cluster c ON c.region_id = r.id AND c.state <> 'retired'
  LEFT JOIN nodes_node n ON n.cluster_id = c.id AND n.state <> 'retired' AND c.kind <> 'agents'
  LEFT JOIN gpu ON gpu.node_id = n.id
  LEFT JOIN gpupools_gpupool p ON p.id = gpu.pool_id
  LEFT JOIN catalog_gpumodel m ON m.id = p.gpu_model_id
 WHERE r.id = ANY(%(regions)s)
"""

_FREE_SLICES = """
SELECT s.id::text, d.id::text, d.pci_address, d.numa_node, count(*) OVER (PARTITION BY d.id)
  FROM gpupools_gpudevice d
  JOIN gpupools_gpuslice s ON s.device_id = d.id AND s.is_offered
 WHERE d.node_id = %s AND d.pool_id = %s AND d.health = 'healthy' AND NOT d.is_isolated
   AND NOT EXISTS (SELECT 1 FROM gpupools_gpuhold h WHERE h.slice_id = s.id AND h.released_at IS NULL)
 ORDER BY d.pci_address, s.index
"""

_PREFIXES = {
    "gpu_model_id": "gpm",
    "pool_id": "pool",
    "zone_id": "zon",
    "group_id": "grp",
    "region_id": "reg",
}


def in_planner_words(wanted: Wanted) -> Wanted:
    """The wish with its ids as the snapshot spells them."""
    ids = {name: raw(prefix, value) for name, prefix in _PREFIXES.items() if (value := getattr(wanted, name))}
    return replace(wanted, **cast(Any, ids))


def in_plain_words(wanted: Wanted) -> Wanted:
    """The wish with typed ids again."""
    ids = {
        name: _typed(prefix, value) for name, prefix in _PREFIXES.items() if (value := getattr(wanted, name))
    }
    return replace(wanted, **cast(Any, ids))


def raw(prefix: str, typed: str) -> str:
    return str(decode(prefix, typed))


def _typed(prefix: str, text: str) -> str:
    return encode(prefix, UUID(text))


def snapshot_of(wanted: Wanted) -> Snapshot:
    """The wish's region with what matters to the wish; the wish is in planner's words."""
    found = _read([wanted.region_id], model=wanted.gpu_model_id, with_groups=wanted.group_id is not None)
    return found.get(wanted.region_id) or Snapshot(wanted.region_id, is_open=False, is_frozen=False)


def snapshots(region_ids: Sequence[str]) -> dict[str, Snapshot]:
    """Every region named (in planner's words), with all its pools."""
    return _read(region_ids, every_model=True, with_groups=True)


def plan_for(wanted: Wanted, team_id: str) -> tuple[Snapshot, Plan]:
    snapshot = snapshot_of(wanted)
    return snapshot, placement.plan(snapshot, wanted, team_id)


def free_slices(node_id: str, pool_id: str) -> list[FreeSlice]:
    """What can be held of a pool on a node now; certain while the node is locked."""
    return [FreeSlice(*row) for row in statements.fetch_all(_FREE_SLICES, [node_id, pool_id])]


def _read(
    regions: Sequence[str], *, model: str | None = None, every_model: bool = False, with_groups: bool
) -> dict[str, Snapshot]:
    values = {
        "regions": list(regions),
        "model": model,
        "every_model": every_model,
        "with_groups": with_groups,
    }
    rows = statements.fetch_all(_FLEET, values)
    heads = {row[0]: row[1:3] for row in rows}
    return {
        region: Snapshot(
            region, state == RegionState.OPEN, frozen, tuple(_nodes(r for r in rows if r[0] == region))
        )
        for region, (state, frozen) in heads.items()
    }


def _nodes(rows: Iterable[tuple[Any, ...]]) -> list[NodeView]:
    pools: dict[str, list[PoolOnNode]] = {}
    about: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        if row[3] is None:
            continue
        about.setdefault(row[3], row)
        if row[19] is not None:
            pools.setdefault(row[3], []).append(PoolOnNode(*row[19:]))
    return [
        NodeView(*row[3:18], group_ids=frozenset(row[18] or ()), pools=tuple(pools.get(node, ())))
        for node, row in about.items()
    ]
