"""What machines use, hour by hour, and what follows from it for their bills."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from apps.billing.models import UsageDay
from apps.billing.selectors import advice
from apps.billing.selectors.advice import AdviceKind
from apps.catalog.models import GpuModel, InstanceType
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.drivers.base import GpuUse
from apps.gpupools.models import GpuDevice
from apps.instances import reconcilers, sizing
from apps.instances.models import HourOfUse, Instance, Sample
from apps.instances.services import measuring
from apps.instances.sizing import Hour, Shape
from apps.nodes.models import NodeSample
from tests.factories.billing import make_price
from tests.factories.instances import Stage, make_stage
from tests.factories.teams import TeamFactory, actor_of

BORN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
QUIET = Hour(NOW, 3600, cpu_mean=1, cpu_most=3, memory_most=10)
RESTING = replace(QUIET, gpu_seconds=3600, gpu_most=2, gpu_memory_most=1)
WHOLE = Shape("big", 16, 65536, 2, "h100", "nvidia", 80, 1000)


def life(count: int, of: Hour = QUIET, *, until: datetime = NOW) -> list[Hour]:
    """Hours like one, the last of them the last that is over."""
    last = until.replace(minute=0) - timedelta(hours=1)
    return [replace(of, at=last - timedelta(hours=back)) for back in reversed(range(count))]


def test_a_machine_is_idle_after_a_whole_day_without_work_and_not_before():
    assert sizing.idle(life(23), gpus=0, now=NOW) is None
    found = sizing.idle(life(24), gpus=0, now=NOW)
    assert (found.hours, found.cpu_most, found.gpu_most) == (24, 3, None)
    assert sizing.idle([], gpus=0, now=NOW) is None
    assert sizing.idle(life(48, replace(QUIET, seconds=1799)), gpus=0, now=NOW) is None
    assert sizing.idle(life(48, replace(QUIET, seconds=1800)), gpus=0, now=NOW).hours == 24


def test_the_first_hour_of_work_ends_idleness_and_old_idleness_is_none():
    busy = replace(QUIET, cpu_most=sizing.IDLE_PERCENT)
    hours = [*life(1, busy, until=NOW - timedelta(hours=30)), *life(30)]
    assert sizing.idle(hours, gpus=0, now=NOW).hours == 30
    assert sizing.idle([*life(30, until=NOW - timedelta(hours=1)), *life(1, busy)], gpus=0, now=NOW) is None
    assert sizing.idle(life(30, until=NOW - timedelta(hours=6)), gpus=0, now=NOW) is None


def test_cards_that_nobody_measured_are_not_called_idle():
    assert sizing.idle(life(48), gpus=1, now=NOW) is None
    assert sizing.idle(life(48, RESTING), gpus=1, now=NOW).gpu_most == 2
    assert sizing.idle(life(48, replace(RESTING, gpu_most=5)), gpus=1, now=NOW) is None
    assert sizing.idle(life(48, replace(RESTING, cpu_most=80)), gpus=1, now=NOW).hours == 48
    assert sizing.idle(life(48, replace(RESTING, cpu_mean=30)), gpus=1, now=NOW) is None


def test_peaks_need_three_days_and_all_hours_of_the_cards():
    assert sizing.peaks(life(71), gpus=0, now=NOW) is None
    assert sizing.peaks(life(72), gpus=0, now=NOW).memory_most == 10
    peak = [*life(71), *life(1, replace(QUIET, cpu_most=90, memory_most=70))]
    found = sizing.peaks(sorted(peak, key=lambda hour: hour.at), gpus=0, now=NOW)
    assert (found.cpu_most, found.memory_most) == (90, 70)
    known = life(72, RESTING)
    assert sizing.peaks(known, gpus=1, now=NOW).gpu_most == 2
    assert sizing.peaks([*known[:-1], *life(1)], gpus=1, now=NOW).gpu_most is None


@pytest.mark.parametrize(
    ("used", "shape", "fitting"),
    [
        ({}, {"vcpus": 8, "memory_mib": 32768}, True),
        ({"cpu_most": 40.0}, {"vcpus": 8}, True),  # 6.4 vCPUs and a quarter more are exactly 8
        ({"cpu_most": 40.1}, {"vcpus": 8}, False),
        ({"memory_most": 40.0}, {"memory_mib": 32768}, True),
        ({"memory_most": 40.1}, {"memory_mib": 32768}, False),
        ({"gpus_at_work": 1}, {"gpus": 1}, True),
        ({"gpus_at_work": 2}, {"gpus": 1}, False),
        ({"gpu_most": 4.9}, {"gpus": 0, "gpu_model": ""}, True),
        ({"gpu_most": 5.0}, {"gpus": 0, "gpu_model": ""}, False),
        ({"gpu_most": None}, {"gpus": 1}, False),
        ({"gpu_most": None}, {"vcpus": 8}, True),
        ({"gpu_most": 28.0}, {"gpu_model": "l40s", "gpu_memory_gib": 48, "gpu_tflops": 350}, True),
        ({"gpu_most": 28.1}, {"gpu_model": "l40s", "gpu_memory_gib": 48, "gpu_tflops": 350}, False),
        ({"gpu_memory_most": 48.1}, {"gpu_model": "l40s", "gpu_memory_gib": 48, "gpu_tflops": 900}, False),
        ({}, {"gpu_model": "l40s", "gpu_memory_gib": 48, "gpu_tflops": None}, False),
        ({}, {"gpu_model": "mi300", "gpu_vendor": "amd", "gpu_memory_gib": 192}, False),
    ],
)
def test_what_fits_has_room_for_the_peak_and_a_quarter_more(used, shape, fitting):
    used = {"cpu_most": 10.0, "memory_most": 10.0, "gpu_most": 20.0, "gpu_memory_most": 20.0} | used
    measured = sizing.Measured(NOW, 72, **{"gpus_at_work": 1, **used})
    assert sizing.fits(replace(WHOLE, slug="small", **shape), was=WHOLE, used=measured) is fitting


def test_a_machine_without_cards_is_never_told_to_take_some():
    plain = replace(WHOLE, gpus=0, gpu_model="")
    used = sizing.Measured(NOW, 72, cpu_most=1, memory_most=1)
    assert sizing.fits(replace(plain, vcpus=2), was=plain, used=used)
    assert not sizing.fits(WHOLE, was=plain, used=used)


@pytest.fixture
def stage(tmp_path, db) -> Stage:
    return make_stage(tmp_path)


def sample(instance: Instance, at: datetime, *, cpu: float = 0.01, memory: float = 0.1, gpus=()) -> Sample:
    """As the hypervisor counts when so much of everything is used all the time."""
    return Sample(
        instance=instance, team_id=instance.team_id, region_id=instance.region_id, at=at,
        cpu_ns=int((at - BORN).total_seconds() * 1e9 * cpu * instance.vcpus),
        net_rx_bytes=0, net_tx_bytes=0, disk_read_bytes=0, disk_write_bytes=0,
        memory_used_mib=int(instance.memory_mib * memory), memory_total_mib=instance.memory_mib,
        gpu_busy=[busy for busy, _used in gpus], gpu_memory=[used for _busy, used in gpus],
    )  # fmt: skip


def measured(instance: Instance, *, hours: int, now: datetime, **use) -> None:
    """Let it have been used like this for so many hours, and been paid for."""
    end = now.replace(minute=0, second=0, microsecond=0)
    Sample.objects.bulk_create(
        sample(instance, end - timedelta(minutes=5 * back), **use) for back in range(1, 12 * hours + 2)
    )
    measuring.sum_up(start=end - timedelta(hours=hours), now=now)
    for back in range(4):
        UsageDay.objects.update_or_create(
            team_id=instance.team_id, workspace_id=instance.workspace_id, resource_id=instance.pk,
            product=instance.type.product, day=now.date() - timedelta(days=back),
            defaults={"seconds": 3600, "unit_seconds": 3600, "amount": dict(HOURLY)[instance.type.slug]},
        )  # fmt: skip


HOURLY = (("cpu-2", Decimal("0.10")), ("cpu-4", Decimal("0.20")), ("h100-1", Decimal("2.50")))


def advices(stage: Stage) -> list:
    found = advice.advise(stage.actor, team_id=stage.team.pk, now=db_now())
    return [one for one in found if one.kind in {AdviceKind.IDLE, AdviceKind.TOO_LARGE}]


def test_hours_are_summed_up_once_from_what_the_hypervisor_counted(stage):
    instance = stage.running(type="h100-1")
    at = db_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    moments = [at + timedelta(minutes=minute) for minute in (-4, 1, 6, 30, 35)]
    made = [sample(instance, moment, cpu=0.5, gpus=[(10.0 * n, 5.0)]) for n, moment in enumerate(moments)]
    made[-1].cpu_ns += int(240e9 * instance.vcpus * 0.5)  # a burst: 90 % during the last five minutes
    Sample.objects.bulk_create(made)
    assert measuring.sum_up() == 1
    hour = HourOfUse.objects.get()
    assert (hour.hour, hour.type_id, hour.seconds) == (at, instance.type_id, 900)  # not the gap of 24 minutes
    assert [round(value, 6) for value in (hour.cpu_mean, hour.cpu_most)] == [63.333333, 90]
    assert (hour.memory_most, hour.gpu_seconds, hour.gpu_most) == (pytest.approx(10, abs=0.1), 900, 40)
    assert (hour.gpu_mean, hour.gpu_memory_most, hour.gpus_at_work) == (pytest.approx(70 / 3), 5, 1)
    assert measuring.sum_up() == 0
    assert measuring.sum_up(start=at) == 0
    HourOfUse.objects.update(hour=at - measuring.KEEP - timedelta(hours=2))
    measuring.sum_up()
    assert list(HourOfUse.objects.values_list("hour", flat=True)) == [at]


def test_a_counter_that_began_anew_is_not_taken_for_work(stage):
    instance = stage.running()
    at = db_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    made = [sample(instance, at + timedelta(minutes=minute)) for minute in range(0, 40, 5)]
    for late in made[4:]:
        late.cpu_ns -= made[3].cpu_ns
    assert made[4].cpu_ns < made[3].cpu_ns
    Sample.objects.bulk_create(made)
    measuring.sum_up()
    assert HourOfUse.objects.get().seconds == 300 * 6
    assert HourOfUse.objects.get().cpu_most == pytest.approx(1)


def test_what_a_nodes_agent_says_of_a_card_counts_for_who_holds_it(stage):
    instance = stage.running(type="h100-1")
    at = db_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    Sample.objects.bulk_create(sample(instance, at + timedelta(minutes=minute)) for minute in (0, 5, 10))
    mine = GpuDevice.objects.get(slices__holds__reservation__holder_id=instance.pk)
    other = GpuDevice.objects.filter(node=mine.node).exclude(pk=mine.pk).first()
    mine.slices.get().holds.update(held_at=at)
    for seq, busy in enumerate((3.0, 4.0, None)):
        cards = [
            {"uuid": mine.uuid, "busy_percent": busy, "memory_used_mib": mine.memory_mib // 4},
            {"uuid": other.uuid, "busy_percent": 99, "memory_used_mib": 1},
        ]
        NodeSample.objects.create(
            node=mine.node, journal=uuid4(), seq=seq, seconds=10, cpu_percent=1,
            at=at + timedelta(seconds=10 * seq), memory_used_mib=1, disk_used_gib=1, gpus=cards,
        )  # fmt: skip
    measuring.sum_up()
    hour = HourOfUse.objects.get()
    assert (hour.gpu_seconds, hour.gpu_most, hour.gpu_mean, hour.gpu_memory_most) == (20, 4, 3.5, 25)
    assert hour.gpus_at_work == 0


def test_what_the_passes_see_is_kept_and_a_set_load_is_seen(stage):
    instance = stage.running(type="h100-1")
    stage.world.freeze()
    stage.world.set_load(instance.machine_name, cpu=0.02, memory=0.25, gpus=[GpuUse(7.5, 30)])
    start = db_now()
    for minutes in (0, 5):
        reconcilers.watch_clusters(now=start + timedelta(minutes=minutes))
        stage.world.advance(300)
    first, second = Sample.objects.order_by("at")
    assert (first.gpu_busy, first.gpu_memory) == ([7.5], [30])
    assert second.cpu_ns - first.cpu_ns == pytest.approx(300e9 * instance.vcpus * 0.02, rel=1e-6)
    assert second.memory_used_mib == instance.memory_mib // 4


def test_an_idle_machine_is_worth_stopping_and_keeps_its_disk(stage):
    idle, busy = stage.running(type="h100-1"), stage.running(type="h100-1")
    now = db_now()
    measured(idle, hours=30, now=now, gpus=[(1.5, 2.0)])
    measured(busy, hours=30, now=now, gpus=[(55.0, 60.0)])
    [found] = advices(stage)
    assert (found.kind, found.subject, found.measured_hours) == (AdviceKind.IDLE, idle.pk, 30)
    assert found.peaks["gpu"] == Decimal("1.5")
    assert {row.resource_id for row in found.rows} == {idle.pk}
    # 720 hours at 2.50, less 100 GiB of disk that are paid for a machine that rests.
    assert found.saving == 720 * (Decimal("2.50") - 100 * Decimal("0.0002"))
    for row in found.rows:
        assert (row.unit_hours, row.amount, row.instead) == (1, Decimal("2.50"), Decimal("0.02"))


def test_a_machine_that_is_too_large_is_told_the_cheapest_that_fits(stage):
    instance = stage.running(type="cpu-4")
    now = db_now()
    measured(instance, hours=71, now=now, cpu=0.2, memory=0.3)
    assert advices(stage) == []
    Sample.objects.all().delete()
    HourOfUse.objects.all().delete()
    measured(instance, hours=73, now=now, cpu=0.2, memory=0.3)
    [found] = advices(stage)
    assert (found.kind, found.instead, found.measured_hours) == (AdviceKind.TOO_LARGE, "type:cpu-2", 73)
    # cpu-2 includes 20 of the 40 GiB; the other 20 are then paid beside it.
    assert found.saving == 720 * (Decimal("0.20") - Decimal("0.10") - 20 * Decimal("0.0002"))
    make_price("type:tiny-2", "0.01")
    InstanceType.objects.create(slug="tiny-2", name="tiny", vcpus=1, memory_mib=4096, disk_gib=40)
    assert advices(stage)[0].instead == "type:tiny-2"
    InstanceType.objects.filter(slug="tiny-2").update(cluster_kinds=["libvirt"])
    assert advices(stage)[0].instead == "type:cpu-2"
    Instance.objects.filter(pk=instance.pk).update(type=stage.supply.type)
    assert advices(stage) == []


def test_another_card_is_advised_only_where_its_region_has_it(stage):
    instance = stage.running(type="h100-1")
    GpuModel.objects.filter(pk=stage.supply.model.pk).update(tflops=989)
    small = GpuModel.objects.create(slug="l40s", vendor="nvidia", name="L40S", memory_gib=48, tflops=362)
    make_price("type:l40s-1", "0.89")
    InstanceType.objects.create(
        slug="l40s-1", name="l40s", vcpus=8, memory_mib=65536, disk_gib=100, gpu_model=small, gpus=1
    )
    measured(instance, hours=80, now=db_now(), cpu=0.3, memory=0.2, gpus=[(20.0, 30.0)])
    assert advices(stage) == []
    pool = stage.supply.pool
    type(pool).objects.create(region=pool.region, gpu_model=small, name="L", slug="l", team=TeamFactory())
    assert advices(stage) == []
    type(pool).objects.update(team=None)
    [found] = advices(stage)
    assert (found.instead, found.saving) == ("type:l40s-1", 720 * (Decimal("2.50") - Decimal("0.89")))


def test_one_team_is_not_told_of_anothers_machines_and_ended_ones_of_nobody(stage):
    instance = stage.running(type="h100-1")
    measured(instance, hours=30, now=db_now(), gpus=[(0.0, 0.0)])
    other = TeamFactory()
    assert advice.advise(actor_of(other), team_id=stage.team.pk, now=db_now()) == []
    assert advices(stage) != []
    Instance.objects.filter(pk=instance.pk).update(state="stopping", desired="stopped")
    assert advices(stage) == []
    assert advice.advise(SYSTEM, team_id=stage.team.pk, now=db_now()) == []


def test_ways_to_pay_less_for_the_same_are_counted_once():
    def piece(kind: AdviceKind, product: str, saving: int) -> advice.Advice:
        row = advice.AdviceRow(NOW.date(), "r", product, Decimal(1), Decimal(1), Decimal(0))
        return advice.Advice(kind, "r", "r", Decimal(saving), 1, (row,))

    found = [
        piece(AdviceKind.SPOT, "type:a", 50), piece(AdviceKind.COMMITMENT, "type:a", 30),
        piece(AdviceKind.IDLE, "type:a", 25), piece(AdviceKind.TOO_LARGE, "type:a", 26),
        piece(AdviceKind.SPOT, "type:b", 7),
    ]  # fmt: skip
    assert advice.possible(found) == 51 + 7
    assert advice.possible([]) == 0
