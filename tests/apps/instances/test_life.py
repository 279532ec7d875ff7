"""The whole life of an instance against the simulated cloud."""

import pytest

from apps.billing.models import Meter
from apps.gpupools.models import Reservation
from apps.instances import services
from apps.instances.states import State
from apps.operations.models import Event, Operation
from tests.factories.instances import bring_about, make_stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path):
    return make_stage(tmp_path)


def test_a_launch_runs_in_one_pass_when_the_driver_answers_at_once(stage):
    instance = stage.launch()
    assert instance.state == State.PENDING
    bring_about(instance)
    assert instance.state == State.RUNNING
    assert instance.address
    assert stage.world.machine_names() == [instance.machine_name]
    operation = Operation.objects.get(target_id=instance.pk)
    assert (operation.state, operation.progress) == ("succeeded", 100)
    planes = list(operation.steps.values_list("plane", flat=True))
    assert planes == ["user", "admin", "cluster", "machine"]
    assert Meter.objects.get(pk=instance.pk).rates == [["type:cpu-2", "1"]]
    told = list(Event.objects.filter(subject=instance.pk).values_list("type", flat=True))
    assert told == ["instance.created", "instance.provisioning", "instance.running"]


def test_stop_start_reboot_and_delete(stage):
    instance = stage.running()
    services.stop_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert instance.state == State.STOPPED
    assert Meter.objects.get(pk=instance.pk).rates == [["disk", "20"]]
    services.start_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert instance.state == State.RUNNING
    services.reboot_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert instance.state == State.RUNNING
    assert stage.world.effect_count("reboot") == 1
    services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert instance.state == State.DELETED
    assert instance.absence["answer"] == "absent"
    assert stage.world.machine_names() == []
    assert Meter.objects.get(pk=instance.pk).ended_at is not None
    assert not Reservation.objects.filter(holder_id=instance.pk, released_at=None).exists()
    kinds = set(Operation.objects.filter(target_id=instance.pk).values_list("kind", "state"))
    assert {state for _kind, state in kinds} == {"succeeded"}
    assert len(kinds) == 5
