"""The cards: noted as the inventory shows them, isolated and taken back by staff."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.catalog.models import GpuModel
from apps.core.actor import Actor
from apps.core.ids import decode, new_uuid
from apps.core.permissions import Permission
from apps.drivers.base import GpuInfo, NodeInfo
from apps.gpupools.models import GpuDevice
from apps.operations import services as operations
from apps.regions.models import Cluster

# A card is known by its serial. It moves to the place that shows it once its old one shows it no more or its
# old node is retired, and nobody holds it: a host cannot take what another has, and holds name the place that
# they know. Into another region it moves in no pool.
_SHOWN = """
WITH t AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(nodes)s::uuid[], %(models)s::uuid[], %(uuids)s::text[],
                         %(pcis)s::text[], %(numas)s::int[], %(memories)s::int[], %(healths)s::text[])
           AS t(id, node, model, uuid, pci, numa, memory, health)
)
"""

_GONE = """
UPDATE gpupools_gpudevice d SET health = 'missing'
 WHERE d.node_id = ANY(%(all)s::uuid[]) AND d.health <> 'missing' AND d.last_seen_at < %(now)s
   AND NOT EXISTS (SELECT FROM t WHERE t.node = d.node_id AND t.uuid = d.uuid AND t.pci = d.pci_address)
   AND (%(is_complete)s
        OR EXISTS (SELECT FROM t WHERE t.node = d.node_id AND (t.uuid = d.uuid OR t.pci = d.pci_address)))
"""

_UPSERT = """
INSERT INTO gpupools_gpudevice AS d
       (id, region_id, node_id, model_id, uuid, pci_address, numa_node, memory_mib, health, is_isolated,
        last_seen_at)
SELECT t.id, %(region)s, t.node, t.model, t.uuid, t.pci, t.numa, t.memory, t.health, false, %(now)s
  FROM t
 WHERE NOT EXISTS (SELECT FROM gpupools_gpudevice o WHERE o.node_id = t.node AND o.pci_address = t.pci
                      AND o.uuid <> t.uuid AND o.health <> 'missing')
 ORDER BY t.uuid
ON CONFLICT (uuid) DO UPDATE
   SET health = EXCLUDED.health, last_seen_at = EXCLUDED.last_seen_at, region_id = EXCLUDED.region_id,
       node_id = EXCLUDED.node_id, pci_address = EXCLUDED.pci_address, numa_node = EXCLUDED.numa_node
 WHERE (d.node_id, d.pci_address) = (EXCLUDED.node_id, EXCLUDED.pci_address)
    OR (d.health = 'missing' OR (SELECT n.state = 'retired' FROM nodes_node n WHERE n.id = d.node_id))
       AND (d.region_id = EXCLUDED.region_id OR d.pool_id IS NULL)
       AND NOT EXISTS (SELECT FROM gpupools_gpuslice s JOIN gpupools_gpuhold h ON h.slice_id = s.id
                        WHERE s.device_id = d.id AND h.released_at IS NULL)
RETURNING d.uuid
"""


def record_devices(
    *, cluster: Cluster, seen: Mapping[str, NodeInfo], now: datetime, is_complete: bool
) -> dict[str, str]:
    """Note the cards of the nodes that were reported. A card that a complete report no longer shows is
    `missing`: nothing new is put on it, and whoever holds it keeps it.

    Answers what is wrong with nodes that show cards which are known elsewhere, by their ids.
    """
    shown = ((node, gpu) for node, info in seen.items() for gpu in info.gpus)
    # A place has one card, and a card that is shown twice is one.
    places = {(node, gpu.pci_address[:40]): (node, gpu) for node, gpu in shown}
    found = {gpu.uuid[:80]: (node, gpu) for node, gpu in places.values()}
    columns = {
        "all": [decode("node", node) for node in seen],
        "is_complete": is_complete,
        **_columns(cluster, list(found.values()), now),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SHOWN + _GONE, columns)
        cursor.execute(_SHOWN + _UPSERT, columns)
        taken = {serial for (serial,) in cursor.fetchall()}
    return _disputes({serial: node for serial, (node, _gpu) in found.items() if serial not in taken})


def _disputes(shown: Mapping[str, str]) -> dict[str, str]:
    """Words for the nodes that show these cards."""
    said: dict[str, list[str]] = {}
    known = GpuDevice.objects.filter(uuid__in=shown).select_related("node").order_by("uuid")
    for one in known if shown else ():
        line = _("Card %(card)s is known at %(node)s %(pci)s, which shows it too or where it is in use.")
        place = {"card": one.uuid, "node": one.node.name, "pci": one.pci_address}
        said.setdefault(shown[one.uuid], []).append(line % place)
    return {node: " ".join(lines) for node, lines in said.items()}


def _columns(cluster: Cluster, found: list[tuple[str, GpuInfo]], now: datetime) -> dict[str, Any]:
    models = _models(gpu for _node, gpu in found)
    return {
        "region": decode("reg", cluster.region_id),
        "now": now,
        "ids": [new_uuid() for _each in found],
        "nodes": [decode("node", node) for node, _gpu in found],
        "models": [decode("gpm", models[gpu.vendor, gpu.model].pk) for _node, gpu in found],
        "uuids": [gpu.uuid[:80] for _node, gpu in found],
        "pcis": [gpu.pci_address[:40] for _node, gpu in found],
        "numas": [gpu.numa_node for _node, gpu in found],
        "memories": [gpu.memory_mib for _node, gpu in found],
        "healths": [gpu.health.value for _node, gpu in found],
    }


def _models(gpus: Iterable[GpuInfo]) -> dict[tuple[str, str], GpuModel]:
    """The catalogue's model of each card, by slug or alias; a kind never seen before is added to it."""
    kinds = {(gpu.vendor, gpu.model): gpu for gpu in gpus}
    known = {alias: model for model in GpuModel.objects.all() for alias in (model.slug, *model.aliases)}
    for (_vendor, name), gpu in kinds.items():
        if name not in known and _slug(name) not in known:
            model = GpuModel.objects.create(
                slug=_slug(name),
                vendor=gpu.vendor[:40],
                name=name[:80],
                memory_gib=max(gpu.memory_mib // 1024, 1),
                aliases=[name[:80]],
            )
            known |= {name: model, model.slug: model}
    return {kind: known.get(kind[1]) or known[_slug(kind[1])] for kind in kinds}


def _slug(name: str) -> str:
    return slugify(name)[:60] or "gpu"


@transaction.atomic
def isolate_device(*, actor: Actor, device: GpuDevice, isolated: bool) -> GpuDevice:
    """Put nothing new on the card, or take it back; whoever holds it keeps it."""
    actor.require(Permission.GPU_MANAGE, device.node.region.scope)
    GpuDevice.objects.filter(pk=device.pk).update(is_isolated=isolated)
    device.is_isolated = isolated
    action = "gpu.isolated" if isolated else "gpu.taken_back"
    audit.record(actor=actor, action=action, target=device)
    operations.emit(
        type=action, subject=device.pk, region_id=device.region_id, data={"node": str(device.node_id)}
    )
    return device
