"""What looks at running machines bring: samples, proofs, and machines that are out of sight.

A machine out of sight for 50 s is not charged for beyond the last proof that it ran; it is charged again
from the moment it shows itself. Time during which nobody looked counts as nothing missed.

A running machine is charged up to its last proof and no further (`charging.prove`), so that nothing has to be
given back when it is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from apps.billing.services import charging
from apps.core.leases import in_time
from apps.drivers.base import Counters
from apps.instances.models import Instance, Sample
from apps.instances.services.lifecycle import happening, meter
from apps.instances.states import Health, State
from apps.operations import services as operations

UNREACHABLE_AFTER = timedelta(seconds=50)
KEEP = timedelta(days=7)
KEEP_ALL = timedelta(hours=2)


@transaction.atomic
def record_samples(*, seen: Mapping[str, Counters], instances: Sequence[Instance], now: datetime) -> None:
    """Keep what the hypervisor counted; each machine in it is proven to run."""
    Sample.objects.bulk_create(
        [_sample(row, seen[str(row.pk)], now) for row in instances if str(row.pk) in seen],
        ignore_conflicts=True,
    )


@transaction.atomic
def note_proofs(*, ids: Iterable[str], now: datetime) -> None:
    """These machines were just seen to run."""
    seen = list(ids)
    rows = Instance.objects.filter(pk__in=seen, state=State.RUNNING)
    back = rows.select_for_update(of=("self",)).filter(health=Health.UNREACHABLE).order_by("pk")
    for instance in back:
        instance.health, instance.message = Health.HEALTHY, ""
        meter(instance, now)
        operations.emit_many([happening(instance, "instance.reachable")])
    rows.filter(~Q(health=Health.HEALTHY)).update(health=Health.HEALTHY, message="")
    rows.update(proof_at=now, missed_at=None)
    charging.prove(resource_ids=seen, at=now)


@transaction.atomic
def note_missed(*, ids: Iterable[str], now: datetime) -> list[str]:
    """These could not be looked at. Returns those that now count as unreachable."""
    missed = list(ids)
    rows = Instance.objects.filter(pk__in=missed, state=State.RUNNING)
    rows.update(missed_at=Coalesce("missed_at", now))
    charging.doubt(resource_ids=missed)
    silent = rows.exclude(health=Health.UNREACHABLE).filter(
        Q(proof_at=None) | Q(proof_at__lt=now - UNREACHABLE_AFTER), missed_at__lt=now - UNREACHABLE_AFTER / 2
    )
    lost = list(silent.filter(region__frozen_at=None).values_list("pk", flat=True))
    for pk in lost:
        mark_unreachable(instance_id=pk, last_seen_at=None)
    return lost


@transaction.atomic
def mark_unreachable(*, instance_id: str, last_seen_at: datetime | None) -> None:
    """Stop its meter at the last proof that it ran."""
    rows = Instance.objects.select_for_update(of=("self",)).filter(pk=instance_id, state=State.RUNNING)
    instance = rows.exclude(health=Health.UNREACHABLE).first()
    if instance is None:
        return
    proofs = [at for at in (instance.proof_at, instance.started_at, last_seen_at) if at]
    charging.end(resource_id=instance_id, now=max(proofs))
    instance.health = Health.UNREACHABLE
    instance.message = _("Out of sight; it is not charged until it is seen again.")
    Instance.objects.filter(pk=instance_id).update(health=instance.health, message=instance.message)
    operations.emit_many([happening(instance, "instance.unreachable")])


@transaction.atomic
def look_again(*, ids: Iterable[str]) -> None:
    """Make them due: what was seen does not fit what is recorded."""
    Instance.objects.filter(pk__in=list(ids)).update(due_at=Now())


@transaction.atomic
def thin_samples() -> None:
    """Forget samples after a week; keep one in five minutes after two hours."""
    Sample.objects.filter(at__lt=in_time(-KEEP)).delete()
    old = Sample.objects.filter(at__lt=in_time(-KEEP_ALL), at__minute__in=[m for m in range(60) if m % 5])
    old.delete()


def _sample(row: Instance, counters: Counters, now: datetime) -> Sample:
    return Sample(
        instance_id=row.pk,
        team_id=row.team_id,
        region_id=row.region_id,
        at=now,
        cpu_ns=counters.cpu_ns,
        net_rx_bytes=counters.net_rx_bytes,
        net_tx_bytes=counters.net_tx_bytes,
        disk_read_bytes=counters.disk_read_bytes,
        disk_write_bytes=counters.disk_write_bytes,
        memory_used_mib=counters.memory_used_mib,
        memory_total_mib=counters.memory_total_mib,
        gpu_busy=[card.busy for card in counters.gpus],
        gpu_memory=[card.memory for card in counters.gpus],
    )
