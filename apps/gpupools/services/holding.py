"""What taking, exchanging and giving back have in common."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from django.utils.translation import gettext as _

from apps.core import statements
from apps.core.ids import encode, new_uuid
from apps.gpupools import placement
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.selectors import fleet
from apps.gpupools.specs import Candidate, FreeSlice, Placed, Plan, Snapshot, Wanted
from apps.policies.specs import Demand

_FIND = """
SELECT r.id, r.team_id, r.region_id, r.group_id, r.node_id::text, r.pool_id::text,
       r.vcpus, r.memory_mib, r.disk_gib, r.gpus, coalesce(m.slug, '')
  FROM gpupools_reservation r LEFT JOIN catalog_gpumodel m ON m.id = r.gpu_model_id
 WHERE r.holder_id = %s AND r.released_at IS NULL
   FOR UPDATE OF r
"""

_HOLD = """
INSERT INTO gpupools_gpuhold (id, slice_id, reservation_id, held_at)
SELECT t.id, t.slice, %s, now() FROM unnest(%s::uuid[], %s::uuid[]) AS t(id, slice)
"""


class Missed(Exception):
    """Somebody else was faster; what was locked on the way is let go."""


@dataclass(frozen=True, slots=True)
class Held:
    """A live reservation, locked; ids in planner's words."""

    reservation: UUID
    team: str
    node: str
    pool: str | None
    vcpus: int
    memory_mib: int
    disk_gib: int
    gpus: int
    demand: Demand

    @property
    def team_id(self) -> str:
        return encode("team", UUID(self.team))


def demand_of(wanted: Wanted, gpu_model: str) -> Demand:
    """What one machine of this wish takes of its team's quotas; `gpu_model` is the model's slug."""
    return Demand(
        region_id=wanted.region_id,
        vcpus=wanted.vcpus,
        memory_mib=wanted.memory_mib,
        disk_gib=wanted.disk_gib,
        instances=1,
        gpu_model=gpu_model if wanted.gpus else "",
        gpus=wanted.gpus,
        group_id=wanted.group_id,
    )


def find(holder_id: str) -> Held | None:
    row = statements.fetch_one(_FIND, [holder_id])
    if row is None:
        return None
    reservation, team, region, group, node, pool, vcpus, memory, disk, gpus, model = row
    demand = Demand(
        region_id=encode("reg", region),
        vcpus=vcpus,
        memory_mib=memory,
        disk_gib=disk,
        instances=1,
        gpu_model=model,
        gpus=gpus,
        group_id=group and encode("grp", group),
    )
    return Held(reservation, str(team), node, pool, vcpus, memory, disk, gpus, demand)


def values_of(holder_id: str, team: str, ask: Wanted, now: datetime) -> dict[str, Any]:
    return {
        "holder": holder_id,
        "team": team,
        "region": ask.region_id,
        "model": ask.gpu_model_id if ask.gpus else None,
        "group": ask.group_id,
        "vcpus": ask.vcpus,
        "memory": ask.memory_mib,
        "disk": ask.disk_gib,
        "gpus": ask.gpus,
        "now": now,
    }


def hold(reservation: UUID, slices: Sequence[FreeSlice]) -> None:
    """Write the holds; the node is locked by now."""
    if not slices:
        return
    statements.run(_HOLD, [reservation, [new_uuid() for _each in slices], [one.id for one in slices]])


def placed_at(reservation: UUID, chosen: Candidate, slices: Sequence[FreeSlice]) -> Placed:
    return Placed(
        reservation_id=encode("rsv", reservation),
        cluster_id=encode("clu", UUID(chosen.node.cluster_id)),
        node_id=encode("node", UUID(chosen.node.id)),
        node_name=chosen.node.name,
        pool_id=encode("pool", UUID(chosen.pool.pool_id)) if chosen.pool else None,
        slice_ids=tuple(encode("gps", UUID(one.id)) for one in slices),
        pci_addresses=tuple(one.pci_address for one in slices),
        isolation=chosen.pool.isolation if chosen.pool else "",
    )


def model_slug(candidates: Sequence[Candidate]) -> str:
    pool = candidates[0].pool
    return pool.model_slug if pool else ""


def refuse(snapshot: Snapshot, found: Plan, ask: Wanted, team: str) -> NoReturn:
    better = placement.nearest(snapshot, ask, team)
    nearest = asdict(fleet.in_plain_words(better)) if better else None
    raise PoolExhausted(
        _("Nothing free fits there at the moment."), rejected=found.rejected, nearest=nearest, retry_after=60
    )
