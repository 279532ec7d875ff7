"""What a cluster says of its hosts becomes rows. News adds and corrects; silence takes nothing away."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from apps.core.ids import decode, encode, new_uuid
from apps.drivers.base import Health as Reported
from apps.drivers.base import NodeInfo
from apps.nodes.models import Node
from apps.nodes.signals import inventory_recorded
from apps.operations import services as operations
from apps.operations.specs import Happening
from apps.regions.models import Cluster

# Totals never fall below what is used: a host that reports less than it had is a problem for a person,
# and no reason to break the rows of the machines on it.
_UPSERT = """
INSERT INTO nodes_node AS n
       (id, region_id, cluster_id, zone_id, name, state, health, problem, note, vcpus, vcpus_used, memory_mib,
        memory_mib_used, disk_gib, disk_gib_used, rack, hypervisor, labels, last_seen_at)
SELECT t.id, %(region)s, %(cluster)s,
       coalesce((SELECT z.id FROM regions_zone z WHERE z.region_id = %(region)s AND z.slug = t.zone),
                %(zone)s),
       t.name, 'enrolling', 'healthy', t.problem, '', t.vcpus, 0, t.memory, 0, t.disk, 0,
       t.rack, t.hypervisor, '{}', %(now)s
  FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(zones)s::text[], %(problems)s::text[], %(vcpus)s::int[],
              %(memories)s::int[], %(disks)s::int[], %(racks)s::text[], %(hypervisors)s::text[])
       AS t(id, name, zone, problem, vcpus, memory, disk, rack, hypervisor)
ON CONFLICT (cluster_id, name) DO UPDATE
   SET vcpus = greatest(EXCLUDED.vcpus, n.vcpus_used),
       memory_mib = greatest(EXCLUDED.memory_mib, n.memory_mib_used),
       disk_gib = greatest(EXCLUDED.disk_gib, n.disk_gib_used),
       problem = CASE WHEN EXCLUDED.vcpus < n.vcpus_used OR EXCLUDED.memory_mib < n.memory_mib_used
                        OR EXCLUDED.disk_gib < n.disk_gib_used
                      THEN 'It reports less than its machines use.' ELSE EXCLUDED.problem END,
       rack = EXCLUDED.rack, hypervisor = EXCLUDED.hypervisor, last_seen_at = EXCLUDED.last_seen_at
RETURNING n.id, n.name, xmax = 0
"""

MOST_WORDS = 300
_DEGRADED = "Its cluster reports it as not well."


@transaction.atomic
def record_inventory(
    *, cluster: Cluster, nodes: Iterable[NodeInfo], now: datetime, is_complete: bool = True
) -> dict[str, str]:
    """Note the hosts a cluster reports. Unknown ones begin to enrol; of an incomplete report only what it
    shows is believed. Answers what of the report was not taken, in words, by node id."""
    reported = {one.name[:120]: one for one in nodes}
    if not reported:
        return {}
    # Everybody locks nodes in the order of their ids.
    known = Node.objects.select_for_update(of=("self",), no_key=True)
    known = known.filter(cluster=cluster, name__in=list(reported))
    list(known.order_by("pk").values("pk"))
    seen: dict[str, NodeInfo] = {}
    fresh: list[Happening] = []
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, _columns(cluster, list(reported.values()), now))
        for pk, name, is_new in cursor.fetchall():
            node_id = encode("node", pk)
            seen[node_id] = reported[name]
            if is_new:
                fresh.append(
                    Happening("node.appeared", node_id, region_id=cluster.region_id, data={"name": name})
                )
    operations.emit_many(fresh)
    answers: list[tuple[Any, Any]] = inventory_recorded.send(
        Cluster, cluster=cluster, seen=seen, now=now, is_complete=is_complete
    )
    wrong = {node: words for _receiver, answer in answers for node, words in answer.items()}
    for node_id, words in wrong.items():
        Node.objects.filter(pk=node_id, problem="").update(problem=words[:MOST_WORDS])
    return wrong


def _columns(cluster: Cluster, infos: list[NodeInfo], now: datetime) -> dict[str, Any]:
    return {
        "region": decode("reg", cluster.region_id),
        "cluster": decode("clu", cluster.pk),
        "zone": decode("zon", cluster.zone_id) if cluster.zone_id else None,
        "now": now,
        "ids": [new_uuid() for _each in infos],
        "names": [one.name[:120] for one in infos],
        "zones": [one.zone for one in infos],
        "problems": ["" if one.health == Reported.HEALTHY else _DEGRADED for one in infos],
        "vcpus": [one.vcpus for one in infos],
        "memories": [one.memory_mib for one in infos],
        "disks": [one.disk_gib for one in infos],
        "racks": [one.rack[:40] for one in infos],
        "hypervisors": [one.hypervisor[:20] for one in infos],
    }
