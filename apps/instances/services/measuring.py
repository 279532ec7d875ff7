"""How much of what they have machines use, hour by hour: what advice rests on.

Samples are kept for a week and thinned; an hour is one row, kept for five weeks. Cards are measured by the
driver that runs the machine or, where it cannot, by the agent of the node: what it says of a card is said of
everybody who holds a share of it.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from apps.core.clock import db_now
from apps.core.ids import decode
from apps.core.leases import in_time
from apps.instances.models import HourOfUse, Instance
from apps.instances.sizing import IDLE_PERCENT

KEEP = timedelta(days=35)
# How far back hours are made up for that nobody summed up in time.
CATCH_UP = timedelta(hours=6)
# Between samples further apart than this nothing is known.
LONGEST_GAP = timedelta(minutes=10)

_SUM_UP = """
WITH taken AS (
    SELECT instance_id, at, memory_used_mib, memory_total_mib, gpu_busy, gpu_memory,
           extract(epoch FROM at - lag(at) OVER life)::float8 AS seconds,
           cpu_ns - lag(cpu_ns) OVER life AS cpu_ns
      FROM instances_sample WHERE at >= %(start)s - %(gap)s AND at < %(end)s
    WINDOW life AS (PARTITION BY instance_id ORDER BY at)
), looks AS (
    SELECT t.instance_id, i.gpus, date_trunc('hour', t.at, 'UTC') AS hour, t.seconds, t.gpu_busy,
           t.gpu_memory,
           least(100, t.cpu_ns / (1e7 * t.seconds * i.vcpus)) AS cpu,
           least(100, 100.0 * t.memory_used_mib / greatest(t.memory_total_mib, 1)) AS memory
      FROM taken t JOIN instances_instance i ON i.id = t.instance_id
     WHERE t.at >= %(start)s AND t.cpu_ns >= 0
       AND t.seconds > 0 AND t.seconds <= extract(epoch FROM %(gap)s::interval)
), told AS (
    SELECT l.instance_id, l.hour, l.gpus, l.seconds, c.busy, c.memory, c.number::text AS card
      FROM looks l, unnest(l.gpu_busy, l.gpu_memory) WITH ORDINALITY AS c (busy, memory, number)
     UNION ALL
    SELECT g.id, date_trunc('hour', s.at, 'UTC'), g.gpus, s.seconds, (c->>'busy_percent')::float8,
           100.0 * (c->>'memory_used_mib')::float8 / greatest(d.memory_mib, 1), d.uuid
      FROM unnest(%(ids)s::uuid[], %(holders)s::text[], %(gpus)s::int[]) AS g (id, holder, gpus)
      JOIN gpupools_reservation r ON r.holder_id = g.holder
      JOIN gpupools_gpuhold h ON h.reservation_id = r.id
      JOIN gpupools_gpuslice p ON p.id = h.slice_id
      JOIN gpupools_gpudevice d ON d.id = p.device_id
      JOIN nodes_nodesample s ON s.node_id = d.node_id AND s.at >= %(start)s AND s.at < %(end)s
       AND s.at >= h.held_at AND (h.released_at IS NULL OR s.at < h.released_at)
     CROSS JOIN jsonb_array_elements(s.gpus) AS c
     WHERE c->>'uuid' = d.uuid
       AND NOT EXISTS (SELECT FROM looks l WHERE l.instance_id = g.id AND cardinality(l.gpu_busy) > 0)
), cards AS (
    SELECT instance_id, hour, card, min(gpus) AS gpus, sum(seconds) AS seconds,
           sum(busy * seconds) / nullif(sum(seconds), 0) AS mean, max(busy) AS most, max(memory) AS memory
      FROM told WHERE busy IS NOT NULL AND memory IS NOT NULL GROUP BY instance_id, hour, card
), gpus AS (
    SELECT instance_id, hour, min(seconds) AS seconds, avg(mean) AS mean, max(most) AS most,
           max(memory) AS memory, count(*) FILTER (WHERE most >= %(idle)s) AS at_work
      FROM cards GROUP BY instance_id, hour HAVING count(*) >= min(gpus)
)
INSERT INTO instances_hourofuse
       (instance_id, team_id, region_id, type_id, hour, seconds, cpu_mean, cpu_most, memory_mean, memory_most,
        gpu_seconds, gpu_mean, gpu_most, gpu_memory_most, gpus_at_work)
SELECT l.instance_id, i.team_id, i.region_id, i.type_id, l.hour, sum(l.seconds),
       sum(l.cpu * l.seconds) / sum(l.seconds), max(l.cpu),
       sum(l.memory * l.seconds) / sum(l.seconds), max(l.memory),
       coalesce(min(g.seconds), 0), coalesce(min(g.mean), 0), coalesce(min(g.most), 0),
       coalesce(min(g.memory), 0), coalesce(min(g.at_work), 0)
  FROM looks l JOIN instances_instance i ON i.id = l.instance_id
  LEFT JOIN gpus g ON g.instance_id = l.instance_id AND g.hour = l.hour
 GROUP BY l.instance_id, l.hour, i.team_id, i.region_id, i.type_id
ON CONFLICT (instance_id, hour) DO NOTHING
"""


@transaction.atomic
def sum_up(*, start: datetime | None = None, now: datetime | None = None) -> int:
    """Make rows of the hours that are over, from `start` or where the last pass ended; forget old ones.

    May be repeated: an hour is summed up once, after its end.
    """
    end = (now or db_now()).replace(minute=0, second=0, microsecond=0)
    if start is None:
        last = HourOfUse.objects.aggregate(last=Max("hour"))["last"]
        start = max(last + timedelta(hours=1), end - CATCH_UP) if last else end - CATCH_UP
    if start >= end:
        return 0
    HourOfUse.objects.filter(hour__lt=in_time(-KEEP)).delete()
    rented = list(Instance.objects.placed().filter(gpus__gt=0).values_list("pk", "gpus"))
    values: dict[str, Any] = {
        "start": start,
        "end": end,
        "gap": LONGEST_GAP,
        "idle": IDLE_PERCENT,
        "ids": [decode("ins", pk) for pk, _gpus in rented],
        "holders": [pk for pk, _gpus in rented],
        "gpus": [gpus for _pk, gpus in rented],
    }
    with connection.cursor() as cursor:
        cursor.execute(_SUM_UP, values)
        return int(cursor.rowcount)
