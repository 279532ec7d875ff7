"""The far side misbehaves: lost answers, refusals, outages, boots that never come, lists that lie."""

from datetime import timedelta

import pytest

from apps.billing.models import Meter, UsageInterval
from apps.billing.reconcilers import cut_due
from apps.core.clock import db_now
from apps.drivers.base import Health as NodeHealth
from apps.drivers.base import ImageRef, MachineSpec
from apps.drivers.sim.world import Fault
from apps.gpupools.models import Reservation
from apps.instances import reconcilers, services
from apps.instances.models import Instance, Sample, Stray
from apps.operations.models import Event, Operation
from apps.regions.models import Region
from apps.regions.reconcilers import driver_of
from tests.factories.instances import bring_about, make_stage
from tests.faults import harness
from tests.faults.harness import CASES

pytestmark = pytest.mark.django_db

METHODS = {
    "create": ("observe", "create"),
    "stop": ("observe", "stop"),
    "start": ("observe", "start"),
    "reboot": ("observe", "reboot"),
    "resize": ("observe", "resize"),
    "snapshot": ("observe", "create_snapshot", "list_snapshots"),
    "restore": ("observe", "restore_snapshot"),
    "unsnapshot": ("observe", "delete_snapshot"),
    "delete": ("observe", "delete"),
}


@pytest.fixture
def stage(tmp_path):
    yield make_stage(tmp_path, nodes=2, gpus=4)
    harness.regions.close_drivers()


def later(**delta: int):
    return db_now() + timedelta(**delta)


@pytest.mark.parametrize(("name", "method"), [(n, m) for n, methods in METHODS.items() for m in methods])
@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.REFUSED])
def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(stage, name, method, fault):
    case = CASES[name]
    before = case.prepare(stage)
    stage.world.inject(fault, method=method)
    harness.perform(stage, case, before)
    instance = harness.work_off(harness.newest(stage, before))
    harness.check(stage, case, instance, f"{fault} in {method}")
    harness.check_books()


@pytest.mark.parametrize("error", ["no_capacity", "rejected"])
def test_a_launch_the_driver_refuses_fails_and_gives_everything_back(stage, error):
    stage.world.inject(Fault.REFUSED, method="create", error=error, message="No such luck.")
    instance = stage.launch(type="h100-1")
    bring_about(instance)
    assert instance.state == "failed"
    assert instance.message == "No such luck."
    assert instance.released_at
    operation = Operation.objects.get(target_id=instance.pk)
    assert (operation.state, operation.error_message) == ("failed", "No such luck.")
    assert operation.undone
    assert not Reservation.objects.filter(released_at=None).exists()
    assert stage.world.machine_names() == []
    harness.check_books()


def test_a_machine_that_never_boots_fails_at_its_deadline_and_is_removed(stage):
    stage.world.inject(Fault.BOOT_FAILURE, method="create")
    instance = stage.launch()
    bring_about(instance)
    assert instance.state == "provisioning"
    assert stage.world.machine_names() == [instance.machine_name]
    bring_about(instance, now=later(minutes=21))
    assert instance.state == "failed"
    assert Operation.objects.get(target_id=instance.pk).error_code == "deadline_exceeded"
    assert stage.world.machine_names() == []
    assert instance.absence["answer"] == "absent"
    assert not Reservation.objects.filter(released_at=None).exists()
    harness.check_books()


def test_a_failed_launch_keeps_its_place_until_the_machine_is_proven_gone(stage):
    stage.world.inject(Fault.BOOT_FAILURE, method="create")
    instance = stage.launch(type="h100-1")
    bring_about(instance)
    outage = stage.world.inject(Fault.OUTAGE, times=None)
    bring_about(instance, now=later(minutes=21))
    assert instance.state == "failed"
    assert instance.released_at is None
    assert Reservation.objects.filter(holder_id=instance.pk, released_at=None).exists()
    stage.world.clear(outage)
    bring_about(instance)
    assert instance.released_at
    assert not Reservation.objects.filter(released_at=None).exists()


def test_a_start_that_never_boots_ends_stopped_and_pays_for_its_disk_only(stage):
    instance = harness._stopped(stage)
    stage.world.inject(Fault.BOOT_FAILURE, method="start")
    services.start_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert instance.state == "starting"
    bring_about(instance, now=later(minutes=16), passes=2)
    assert (instance.state, instance.desired) == ("stopped", "stopped")
    operation = Operation.objects.filter(target_id=instance.pk, kind="instance.start").get()
    assert operation.state == "failed"
    assert Meter.objects.get(pk=instance.pk).rates == [["disk", "20"]]
    harness.check_books()


def test_a_stop_is_never_given_up_though_its_operation_ends(stage):
    instance = stage.running()
    services.stop_instance(actor=stage.actor, instance_id=instance.pk)
    outage = stage.world.inject(Fault.OUTAGE, times=None)
    bring_about(instance)
    assert instance.state == "running"
    stage.world.clear(outage)
    stage.world.inject(Fault.OUTAGE, method="stop", times=None)
    bring_about(instance)
    assert instance.state == "stopping"
    bring_about(instance, now=later(minutes=16))
    assert Operation.objects.get(kind="instance.stop").state == "failed"
    assert instance.state == "stopping"
    stage.world.clear()
    bring_about(instance)
    assert instance.state == "stopped"
    harness.check_books()


def test_a_removal_is_never_given_up_and_staff_are_told(stage):
    instance = stage.running(type="h100-1")
    services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    stage.world.inject(Fault.REFUSED, method="delete", error="rejected", times=None)
    bring_about(instance, passes=3)
    assert instance.state == "deleting"
    bring_about(instance, now=later(minutes=30), passes=2)
    assert Event.objects.filter(type="instance.removal_overdue", subject=instance.pk).count() == 1
    assert Reservation.objects.filter(holder_id=instance.pk, released_at=None).exists()
    stage.world.clear()
    bring_about(instance)
    assert instance.state == "deleted"
    assert Operation.objects.get(kind="instance.delete").state == "succeeded"
    harness.check_books()


def test_delete_overtakes_a_launch_that_hangs_on_the_way(stage):
    stage.world.inject(Fault.BOOT_FAILURE, method="create")
    instance = stage.launch()
    bring_about(instance)
    services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert instance.state == "deleted"
    assert set(Operation.objects.values_list("kind", "state")) == {
        ("instance.create", "cancelled"),
        ("instance.delete", "succeeded"),
    }
    assert stage.world.machine_names() == []
    harness.check_books()


def test_a_machine_shut_down_from_inside_is_stopped_and_pays_for_its_disk(stage):
    instance = stage.running()
    stage.world.crash(instance.machine_name, "Kernel panic.")
    reconcilers.watch_clusters()
    bring_about(instance)
    assert (instance.state, instance.desired, instance.message) == ("stopped", "stopped", "Kernel panic.")
    assert Meter.objects.get(pk=instance.pk).rates == [["disk", "20"]]


def test_a_machine_taken_back_by_its_provider_is_interrupted_and_let_go(stage):
    instance = stage.running()
    stage.world.reclaim(instance.machine_name)
    bring_about(instance, passes=2)
    assert instance.state == "interrupted"
    assert instance.released_at
    assert Meter.objects.get(pk=instance.pk).ended_at
    harness.check_world(stage)


def test_a_machine_removed_behind_our_back_is_lost_and_let_go(stage):
    instance = stage.running()
    driver_of(stage.supply.cluster).delete(instance.machine_name)
    bring_about(instance)
    assert instance.state == "failed"
    assert instance.released_at
    harness.check_world(stage)
    harness.check_books()


def test_ten_minutes_without_a_control_plane_interrupt_nobody_and_cost_no_second(stage):
    instance = stage.running()
    began = Meter.objects.get(pk=instance.pk).metered_until
    stage.world.freeze()
    stage.world.advance(600)
    after = db_now() + timedelta(minutes=10)
    reconcilers.watch_clusters(now=after)
    bring_about(instance, now=after)
    assert (instance.state, instance.health) == ("running", "healthy")
    services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance, now=after)
    stage.world.advance(1)
    bring_about(instance, now=after + timedelta(seconds=1))
    assert instance.state == "deleted"
    meter = Meter.objects.get(pk=instance.pk)
    assert meter.ended_at - began >= timedelta(minutes=10)
    harness.check_books()


def test_what_is_out_of_sight_is_not_charged_until_it_is_seen_again(stage):
    instance = stage.running()
    node = Instance.objects.select_related("node").get(pk=instance.pk).node
    proven = db_now()
    reconcilers.watch_clusters(now=proven)
    assert Sample.objects.filter(instance=instance).count() == 1
    stage.world.set_node_health(node.name, NodeHealth.FAILED)
    for seconds in (15, 30, 45, 60):
        cut_due(now=proven + timedelta(seconds=seconds))
        reconcilers.watch_clusters(now=proven + timedelta(seconds=seconds))
    instance.refresh_from_db()
    assert (instance.state, instance.health) == ("running", "unreachable")
    assert Meter.objects.get(pk=instance.pk).ended_at == proven
    stage.world.set_node_health(node.name, NodeHealth.HEALTHY)
    back = proven + timedelta(seconds=300)
    reconcilers.watch_clusters(now=back)
    instance.refresh_from_db()
    assert instance.health == "healthy"
    meter = Meter.objects.get(pk=instance.pk)
    assert (meter.ended_at, meter.metered_until) == (None, back)
    harness.check_books()


def test_a_machine_that_nobody_ever_saw_run_is_not_charged(stage):
    instance = stage.running()
    began = Meter.objects.get(pk=instance.pk).metered_until
    node = Instance.objects.select_related("node").get(pk=instance.pk).node
    stage.world.set_node_health(node.name, NodeHealth.FAILED)
    for seconds in (10, 25, 55):
        reconcilers.watch_clusters(now=began + timedelta(seconds=seconds))
        cut_due(now=began + timedelta(seconds=seconds))
    assert Meter.objects.get(pk=instance.pk).ended_at == began
    assert not UsageInterval.objects.exists()
    harness.check_books()


def test_a_watched_machine_is_charged_up_to_its_last_proof(stage):
    instance = stage.running()
    began = Meter.objects.get(pk=instance.pk).metered_until
    for seconds in (14, 45, 60, 74):
        reconcilers.watch_clusters(now=began + timedelta(seconds=seconds))
    assert cut_due(now=began + timedelta(seconds=80)) == 1
    assert Meter.objects.get(pk=instance.pk).metered_until == began + timedelta(seconds=74)
    assert cut_due(now=began + timedelta(seconds=130)) == 1  # no proof since: it waits
    assert cut_due(now=began + timedelta(seconds=131)) == 0
    assert Meter.objects.get(pk=instance.pk).metered_until == began + timedelta(seconds=74)
    reconcilers.watch_clusters(now=began + timedelta(seconds=140))
    assert cut_due(now=began + timedelta(seconds=141)) == 1
    assert Meter.objects.get(pk=instance.pk).metered_until == began + timedelta(seconds=140)


def test_a_frozen_region_is_not_touched(stage):
    instance = stage.running()
    services.stop_instance(actor=stage.actor, instance_id=instance.pk)
    Region.objects.filter(pk=instance.region_id).update(frozen_at=db_now())
    assert not reconcilers.reconcile_instance(instance_id=instance.pk)
    assert stage.world.effect_count("stop") == 0
    Region.objects.filter(pk=instance.region_id).update(frozen_at=None)
    bring_about(instance)
    assert instance.state == "stopped"


# ------------------------------------------------------------------ machines that are nobody's


def stray(stage, installation="hostedai"):
    """A machine of ours that no row knows: what a worker that woke up too late leaves behind."""
    spec = MachineSpec(
        name="hai-late", installation=installation, resource_id="late", fence=1, vcpus=1, memory_mib=512,
        disk_gib=1, image=ImageRef("debian-12"), node=stage.supply.nodes[0].name,
    )  # fmt: skip
    driver_of(stage.supply.cluster).create(spec)
    return spec.name


def sweep(stage, minutes):
    at = db_now() + timedelta(minutes=minutes)
    return reconcilers.sweep_cluster(cluster_id=stage.supply.cluster.pk, now=at)


def test_a_stray_is_removed_when_seen_twice_five_minutes_apart(stage):
    kept = stage.running()
    stage.world.plant("somebody-elses")
    name = stray(stage)
    assert sweep(stage, 0) == []
    assert sweep(stage, 4) == []
    assert sweep(stage, 6) == [name]
    assert stage.world.machine_names() == sorted([kept.machine_name, "somebody-elses"])
    assert sweep(stage, 12) == []
    assert not Stray.objects.exists()


@pytest.mark.parametrize("fault", [Fault.EMPTY_LIST, Fault.PARTIAL_LIST, Fault.OUTAGE])
def test_a_list_that_fails_or_is_cut_short_removes_nothing(stage, fault):
    stage.running()
    stray(stage)
    sweep(stage, 0)
    before = stage.world.machine_names()
    stage.world.inject(fault, method="list_machines")
    assert sweep(stage, 6) == []
    assert stage.world.machine_names() == before
    assert Stray.objects.count() == 1


def test_a_stale_list_never_costs_a_machine_that_somebody_owns(stage):
    first = stage.running()
    services.delete_instance(actor=stage.actor, instance_id=first.pk)
    bring_about(first)
    kept = stage.running()
    stage.world.inject(Fault.STALE_LIST, method="list_machines", times=None, seconds=3000)
    for minutes in (0, 6, 12):
        sweep(stage, minutes)
    stage.world.clear()
    for minutes in (18, 24):
        sweep(stage, minutes)
    assert stage.world.machine_names() == [kept.machine_name]


def test_machines_of_another_installation_are_left_alone(stage):
    stage.running()
    name = stray(stage, installation="the-other-one")
    for minutes in (0, 6, 12):
        assert sweep(stage, minutes) == []
    assert name in stage.world.machine_names()
