"""What a team can launch now: type × region with free room and product, from policy and capacity alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apps.catalog.models import InstanceType
from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.gpupools import placement
from apps.gpupools.selectors import fleet
from apps.gpupools.specs import RoomInRegion, Snapshot, Wanted
from apps.policies import selectors as policies
from apps.policies.specs import Demand, Gate, Rules
from apps.regions.models import Region
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class Offer:
    """A type that the team's policy allows, where it fits and what billing calls it."""

    type: InstanceType
    product: str
    regions: tuple[RoomInRegion, ...]
    gates: tuple[Gate, ...] = ()  # quotas that stand in the way; empty when it may be launched

    @property
    def room(self) -> int:
        return sum(one.room for one in self.regions)

    @property
    def is_launchable(self) -> bool:
        return self.room > 0 and not self.gates


@dataclass(frozen=True, slots=True)
class Market:
    """What a team may launch and what that was concluded from; `known` has regions in planner's words."""

    offers: list[Offer]
    rules: Rules
    known: dict[str, Snapshot]

    def in_region(self, region_id: str) -> Snapshot:
        return self.known[fleet.raw("reg", region_id)]


def offers(*, actor: Actor, team: Team, regions: Iterable[Any] | None = None) -> list[Offer]:
    """Every published type the team may launch, with how many fit in each open region."""
    return market(actor=actor, team=team, regions=regions).offers


def market(*, actor: Actor, team: Team, regions: Iterable[Any] | None = None) -> Market:
    """The same with its grounds: 3 statements, and one for the regions where none are given."""
    actor.require(Permission.CATALOG_READ, team.scope)
    rules = policies.rules_of(team.pk)
    places = list(Region.objects.selling() if regions is None else regions)
    kinds = InstanceType.objects.launchable().select_related("gpu_model")
    known = fleet.snapshots([fleet.raw("reg", region.pk) for region in places])
    found = []
    for kind in kinds:
        if not rules.types.allows(kind.slug):
            continue
        rooms = tuple(_room(kind, region.pk, known, team) for region in places)
        demand = demand_of(kind, next((one.region_id for one in rooms if one.room), ""))
        gates = policies.quota_gates(limits=rules.limits, used=rules.used, demand=demand)
        found.append(Offer(kind, kind.product, rooms, tuple(gate for gate in gates if not gate.ok)))
    return Market(found, rules, known)


def demand_of(kind: InstanceType, region_id: str) -> Demand:
    """What one machine of the type takes of its team's quotas."""
    return Demand(
        region_id=region_id,
        vcpus=kind.vcpus,
        memory_mib=kind.memory_mib,
        disk_gib=kind.disk_gib,
        instances=1,
        gpu_model=kind.gpu_model.slug if kind.gpu_model else "",
        gpus=kind.gpus,
    )


def wanted_of(kind: InstanceType, region_id: str) -> Wanted:
    return Wanted(
        region_id=region_id,
        vcpus=kind.vcpus,
        memory_mib=kind.memory_mib,
        disk_gib=kind.disk_gib,
        gpu_model_id=kind.gpu_model_id,
        gpus=kind.gpus,
        cluster_kinds=tuple(kind.cluster_kinds) or None,
    )


def _room(kind: InstanceType, region_id: str, known: dict[str, Snapshot], team: Team) -> RoomInRegion:
    ask = fleet.in_planner_words(wanted_of(kind, region_id))
    snapshot = known.get(ask.region_id)
    if snapshot is None:
        return RoomInRegion(region_id, 0, "region_closed")
    plan = placement.plan(snapshot, ask, fleet.raw("team", team.pk))
    room = placement.count_room(plan, ask)
    why = max(plan.rejected, key=lambda one: plan.rejected[one]) if plan.rejected and not room else ""
    return RoomInRegion(region_id, room, why)
