"""`manage.py demo_use`: a machine that is idle and one that is too large, for days, so that there is advice.

Called by `manage.py demo`. May be run again: nothing happens twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.management.base import BaseCommand

from apps.billing.services import history
from apps.billing.services.history import Past, Stretch
from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.drivers.base import GpuUse
from apps.instances import services
from apps.instances.management.commands.demo import settle
from apps.instances.models import Instance, Sample
from apps.instances.services import measuring
from apps.instances.specs import InstanceSpec
from apps.regions.reconcilers import driver_of
from apps.teams.models import Team

TEAM, REGION, IMAGE = "Acme Research", "hel-1", "ubuntu-24.04-cuda"
AGE, STEP = timedelta(days=5), timedelta(minutes=10)


@dataclass(frozen=True)
class Load:
    """What a machine is, and the shares (0 to 1) of its processors and memory it uses; cards in percent."""

    name: str
    type: str
    cpu: float
    memory: float
    gpus: tuple[GpuUse, ...]


LOADS = (
    Load("forgotten", "l40s-48gb-1", 0.01, 0.06, (GpuUse(0.4, 2.0),)),
    Load("prototype", "h100-80gb-2", 0.12, 0.1, (GpuUse(19.0, 24.0), GpuUse(0.0, 0.5))),
)


class Command(BaseCommand):
    help = "Let two of the demonstration's machines have run for days, to no great use."

    def handle(self, **_options: object) -> None:
        with tenancy.everything():
            team = Team.objects.filter(name=TEAM).first()
            if team is None or Instance.objects.filter(team=team, name=LOADS[0].name).exists():
                return
            begun = db_now() - AGE
            machines = [(load, _launch(team, load)) for load in LOADS]
            _pay(machines, begun)
            settle()
            _use(machines, begun)


def _launch(team: Team, load: Load) -> Instance:
    workspace = team.workspaces.order_by("created_at").first()
    assert workspace is not None
    spec = InstanceSpec(name=load.name, region=REGION, type=load.type, image=IMAGE)
    return services.create_instance(actor=SYSTEM, team=team, workspace=workspace, spec=spec)


def _pay(machines: Sequence[tuple[Load, Instance]], begun: datetime) -> None:
    """They have been charged since; what follows when they really start goes on from there."""
    pasts = [
        Past(
            row.pk,
            row.name,
            row.team_id,
            row.workspace_id,
            (Stretch(begun, row.running_rates),),
            row.region_id,
        )
        for _load, row in machines
    ]
    history.write_history(actor=SYSTEM, pasts=pasts, now=db_now())


def _use(machines: Sequence[tuple[Load, Instance]], begun: datetime) -> None:
    """What was measured since then; and from now on the simulated machines really do it."""
    now = db_now()
    for load, row in machines:
        Instance.objects.filter(pk=row.pk).update(created_at=begun, started_at=begun)
        world = getattr(driver_of(row.cluster), "world", None)
        if world is not None:
            world.set_load(row.machine_name, cpu=load.cpu, memory=load.memory, gpus=load.gpus)
        Sample.objects.bulk_create(_samples(load, row, begun, now))
    measuring.sum_up(start=begun.replace(minute=0, second=0, microsecond=0), now=now)


def _samples(load: Load, row: Instance, begun: datetime, now: datetime) -> Iterator[Sample]:
    for step in range(int((now - begun) / STEP)):
        at = begun + step * STEP
        worked = (at - begun).total_seconds() * load.cpu * row.vcpus
        yield Sample(
            instance=row,
            team_id=row.team_id,
            region_id=row.region_id,
            at=at,
            cpu_ns=int(worked * 1e9),
            net_rx_bytes=int(worked * 900_000),
            net_tx_bytes=int(worked * 350_000),
            disk_read_bytes=int(worked * 1_500_000),
            disk_write_bytes=int(worked * 800_000),
            memory_used_mib=int(row.memory_mib * load.memory),
            memory_total_mib=row.memory_mib,
            gpu_busy=[card.busy for card in load.gpus],
            gpu_memory=[card.memory for card in load.gpus],
        )
