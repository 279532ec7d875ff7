"""How long a node may be out of sight before it counts as suspect, then as unreachable; and the brake.

Only time during which somebody looked counts. When too large a share of a region is out of sight at
once, the platform distrusts its own sight: the region freezes and no node is given up.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.core.ids import decode, encode
from apps.nodes.models import Node
from apps.nodes.signals import node_found, node_lost
from apps.nodes.states import SUSPECT_AFTER_S, UNREACHABLE_AFTER_S, Health
from apps.operations import services as operations
from apps.regions import services as regions
from apps.regions.models import Cluster, Region

# Nodes lost longer ago than this have been looked at, or should have been; they pull no brake.
WINDOW = timedelta(minutes=10)
FEWEST_FOR_BRAKE = 2

_JUDGE = """
SELECT n.id, n.health, n.last_seen_at,
       CASE WHEN %(now)s - s.since >= %(unreachable)s THEN 'unreachable'
            WHEN %(now)s - s.since >= %(suspect)s THEN 'suspect' ELSE 'healthy' END
  FROM nodes_node n JOIN regions_cluster c ON c.id = n.cluster_id
 CROSS JOIN LATERAL (SELECT greatest(n.last_seen_at, c.watched_since, n.created_at) AS since) s
 WHERE n.cluster_id = %(cluster)s AND n.state <> 'retired'
   AND (n.last_seen_at IS NOT NULL OR n.state <> 'enrolling')
 ORDER BY n.id
   FOR NO KEY UPDATE OF n
"""

_SHARE = """
SELECT count(*), count(*) FILTER (
         WHERE n.id = ANY(%(lost)s::uuid[]) OR (n.cluster_id <> %(cluster)s AND n.health <> 'healthy'
               AND n.last_seen_at > %(since)s))
  FROM nodes_node n
 WHERE n.region_id = %(region)s AND n.state IN ('ready', 'cordoned', 'draining')
"""


@transaction.atomic
def judge(*, cluster: Cluster, now: datetime) -> dict[str, str]:
    """Set the health of a cluster's nodes by when they were last proven to be there; returns changes."""
    values: dict[str, Any] = {
        "now": now,
        "cluster": decode("clu", cluster.pk),
        "suspect": timedelta(seconds=SUSPECT_AFTER_S),
        "unreachable": timedelta(seconds=UNREACHABLE_AFTER_S),
    }
    with connection.cursor() as cursor:
        cursor.execute(_JUDGE, values)
        rows = cursor.fetchall()
    region = Region.objects.get(pk=cluster.region_id)
    since = max(filter(None, (now - WINDOW, region.thawed_at)))
    lost = [pk for pk, _before, seen, after in rows if after != Health.HEALTHY and seen and seen > since]
    frozen = region.frozen_at is not None or _brakes(cluster, region, lost, since)
    changes = {
        encode("node", pk): (before, _spared(after, before, frozen), seen)
        for pk, before, seen, after in rows
        if _spared(after, before, frozen) != before
    }
    for health in Health:
        ids = [pk for pk, (_before, after, _seen) in changes.items() if after == health]
        if ids:
            Node.objects.filter(pk__in=ids).update(health=health)
    for pk, (before, after, seen) in changes.items():
        _tell(cluster, pk, before, after, seen)
    return {pk: after for pk, (_before, after, _seen) in changes.items()}


def _spared(after: str, before: str, frozen: bool) -> str:
    """In a frozen region no node is given up; at most it is suspect."""
    if frozen and after == Health.UNREACHABLE and before != Health.UNREACHABLE:
        return Health.SUSPECT.value
    return after


def _brakes(cluster: Cluster, region: Region, lost: list[object], since: datetime) -> bool:
    if not lost:
        return False
    values: dict[str, Any] = {
        "lost": lost,
        "cluster": decode("clu", cluster.pk),
        "region": decode("reg", region.pk),
        "since": since,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SHARE, values)
        total, out_of_sight = cursor.fetchone()
    if out_of_sight < FEWEST_FOR_BRAKE or out_of_sight * 100 < total * region.brake_percent:
        return False
    reason = _("%(lost)s of %(total)s nodes went out of sight at once.")
    regions.pull_brake(region_id=region.pk, reason=reason % {"lost": out_of_sight, "total": total})
    return True


def _tell(cluster: Cluster, node_id: str, before: str, after: str, seen: datetime | None) -> None:
    operations.emit(
        type=f"node.{after}",
        subject=node_id,
        region_id=cluster.region_id,
        data={"before": before, "last_seen_at": seen and seen.isoformat()},
    )
    about = {"node_id": node_id, "region_id": cluster.region_id}
    if after == Health.UNREACHABLE:
        node_lost.send(Node, **about, last_seen_at=seen)
    elif before == Health.UNREACHABLE and after == Health.HEALTHY:
        node_found.send(Node, **about)
