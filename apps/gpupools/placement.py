"""Where a machine goes: filter, score, choose. Pure over a snapshot, so any fleet can be planned in a test.

Ids are opaque here: whatever the snapshot and the wish use, as long as both use the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from apps.gpupools.specs import Candidate, FreeSlice, NodeView, Plan, PoolOnNode, Snapshot, Wanted

_READY, _HEALTHY, _SPREAD = "ready", "healthy", "spread"


def plan(snapshot: Snapshot, wanted: Wanted, team_id: str) -> Plan:
    """All nodes that would do, best first, and a count of the reasons why the others would not."""
    closed = why_region_closed(snapshot)
    if closed:
        return Plan(rejected={closed: max(len(snapshot.nodes), 1)})
    candidates: list[Candidate] = []
    reasons: Counter[str] = Counter()
    for node in snapshot.nodes:
        reason = why_not(node, wanted, team_id)
        if reason:
            reasons[reason] += 1
        elif wanted.gpus:
            candidates += [
                Candidate(node, pool, score(node, pool, wanted))
                for pool in usable_pools(node, wanted, team_id)
            ]
        else:
            candidates.append(Candidate(node, None, score(node, None, wanted)))
    candidates.sort(key=lambda one: (-one.score, one.node.name, one.node.id))
    return Plan(tuple(candidates), dict(reasons))


def why_region_closed(snapshot: Snapshot) -> str:
    if snapshot.is_frozen:
        return "region_frozen"
    return "" if snapshot.is_open else "region_closed"


def why_not(node: NodeView, wanted: Wanted, team_id: str) -> str:
    """The first reason why the node will not do; "" when it will."""
    return next(_reasons(node, wanted, team_id), "")


def _reasons(node: NodeView, wanted: Wanted, team_id: str) -> Iterator[str]:
    if wanted.cluster_kinds and node.kind not in wanted.cluster_kinds:
        yield "wrong_kind"
    if not node.is_cluster_open:
        yield "cluster_paused"
    if wanted.zone_id and node.zone_id != wanted.zone_id:
        yield "other_zone"
    if wanted.group_id and wanted.group_id not in node.group_ids:
        yield "other_group"
    if wanted.gpus:
        yield from _gpu_reasons(node, wanted, team_id)
    yield from _room_reasons(node, wanted)


def _room_reasons(node: NodeView, wanted: Wanted) -> Iterator[str]:
    if node.state != _READY:
        yield "not_ready"
    if node.health != _HEALTHY:
        yield "not_healthy"
    if node.vcpus_left < wanted.vcpus:
        yield "too_few_vcpus"
    if node.memory_mib_left < wanted.memory_mib:
        yield "too_little_memory"
    if node.disk_gib_left < wanted.disk_gib:
        yield "too_little_disk"


def _gpu_reasons(node: NodeView, wanted: Wanted, team_id: str) -> Iterator[str]:
    of_model = [pool for pool in node.pools if pool.model_id == wanted.gpu_model_id]
    if not of_model:
        yield "no_such_gpu"
    open_to = [pool for pool in of_model if _is_open_to(pool, wanted, team_id)]
    if not open_to:
        yield "pool_not_open"
    if all(pool.free < wanted.gpus for pool in open_to):
        yield "too_few_gpus"


def _is_open_to(pool: PoolOnNode, wanted: Wanted, team_id: str) -> bool:
    return (
        pool.is_open
        and pool.team_id in (None, team_id)
        and wanted.pool_id in (None, pool.pool_id)
        and wanted.isolation in (None, pool.isolation)
    )


def usable_pools(node: NodeView, wanted: Wanted, team_id: str) -> list[PoolOnNode]:
    """The node's pools that have enough free cards of the right kind for this team."""
    return [
        pool
        for pool in node.pools
        if pool.model_id == wanted.gpu_model_id
        and pool.free >= wanted.gpus
        and _is_open_to(pool, wanted, team_id)
    ]


def score(node: NodeView, pool: PoolOnNode | None, wanted: Wanted) -> float:
    """Higher is better. A team's own pool comes first; machines without GPU keep off nodes with some."""
    cpu_load = (node.vcpus - node.vcpus_left + wanted.vcpus) / max(node.vcpus, 1)
    if pool is None:
        return cpu_load - (2.0 if node.has_gpus else 0.0)
    load = (pool.cards - pool.free + wanted.gpus) / max(pool.cards, 1) + cpu_load / 100
    fit = -load if pool.packing == _SPREAD else load
    return fit + (4.0 if pool.team_id else 0.0)


def choose_slices(free: Iterable[FreeSlice], count: int, *, packing: str) -> tuple[FreeSlice, ...] | None:
    """One slice on each of `count` cards, on one NUMA node if any has enough; None when there are too few.

    Filling up prefers cards that are already shared and the NUMA node with the least to spare;
    spreading prefers the emptiest of both.
    """
    cards: dict[str, FreeSlice] = {}
    for one in free:
        cards.setdefault(one.device_id, one)
    if len(cards) < count:
        return None
    sign = -1 if packing == _SPREAD else 1
    ordered = sorted(cards.values(), key=lambda one: (sign * one.free_on_device, one.pci_address, one.id))
    sizes = Counter(one.numa_node for one in ordered)
    enough = [numa for numa, size in sizes.items() if size >= count]
    if enough:
        best = min(enough, key=lambda numa: (sign * sizes[numa], numa))
        ordered = [one for one in ordered if one.numa_node == best]
    return tuple(ordered[:count])


def nearest(snapshot: Snapshot, wanted: Wanted, team_id: str) -> Wanted | None:
    """The wish with the least taken back that would pass here and now; None when nothing like it would.

    Tried in this order: any zone, group, pool or isolation; fewer GPUs; less of what no node has.
    """
    for wish in _relaxed(snapshot, wanted, team_id):
        if wish != wanted and plan(snapshot, wish, team_id).candidates:
            return wish
    return None


def _relaxed(snapshot: Snapshot, wanted: Wanted, team_id: str) -> Iterator[Wanted]:
    loose = replace(wanted, zone_id=None, group_id=None, pool_id=None, isolation=None)
    yield replace(wanted, zone_id=None)
    yield replace(wanted, group_id=None)
    yield replace(wanted, pool_id=None)
    yield replace(wanted, isolation=None)
    yield loose
    for wish in (wanted, loose):
        for gpus in range(wanted.gpus - 1, 0, -1):
            yield replace(wish, gpus=gpus)
        yield from _smaller(snapshot, wish, team_id)


def _smaller(snapshot: Snapshot, wanted: Wanted, team_id: str) -> Iterator[Wanted]:
    """Wishes cut down to what one node has left, the least cut first."""
    bare = replace(wanted, vcpus=0, memory_mib=0, disk_gib=0)
    fits = []
    for node in snapshot.nodes:
        if why_not(node, bare, team_id):
            continue
        cut = replace(
            wanted,
            vcpus=min(wanted.vcpus, node.vcpus_left),
            memory_mib=min(wanted.memory_mib, node.memory_mib_left),
            disk_gib=min(wanted.disk_gib, node.disk_gib_left),
        )
        if cut.vcpus and cut.memory_mib and cut.disk_gib:
            fits.append(cut)
    yield from sorted(fits, key=lambda one: -(one.vcpus / wanted.vcpus + one.memory_mib / wanted.memory_mib))


def count_room(found: Plan, wanted: Wanted) -> int:
    """How many such machines fit, one after the other, on the plan's nodes."""
    on_node: dict[str, tuple[NodeView, int]] = {}
    for one in found.candidates:
        _node, cards = on_node.get(one.node.id, (one.node, 0))
        on_node[one.node.id] = (one.node, cards + (one.pool.free if one.pool else 0))
    return sum(_times(node, cards, wanted) for node, cards in on_node.values())


def _times(node: NodeView, cards: int, wanted: Wanted) -> int:
    times = [
        left // asked
        for left, asked in (
            (node.vcpus_left, wanted.vcpus),
            (node.memory_mib_left, wanted.memory_mib),
            (node.disk_gib_left, wanted.disk_gib),
            (cards, wanted.gpus),
        )
        if asked
    ]
    return min(times, default=0)
