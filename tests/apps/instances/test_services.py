"""What people may wish for, what is refused and why, and what is left untouched by a refusal."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from apps.audit.models import Record
from apps.billing.errors import NoHeadroom
from apps.billing.models import Hold, Meter, RatedUsage, UsageEvent
from apps.billing.services import charges
from apps.billing.signals import headroom_lost
from apps.core import tenancy
from apps.core.actor import SYSTEM, Actor, region_scope
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotFound, NotPermitted, Unavailable
from apps.core.permissions import GRANTS, Role
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.models import Reservation
from apps.instances import reconcilers, selectors, services
from apps.instances.errors import BadShape, BadTicket, Busy, NameTaken, WrongState
from apps.instances.models import Instance, Ticket
from apps.nodes import reconcilers as node_reconcilers
from apps.nodes.models import Node
from apps.nodes.selectors import occupants_of
from apps.nodes.services import drain_node, uncordon_node
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.policies.errors import PolicyRefused
from apps.policies.models import Assignment, InstanceTypePolicy
from apps.regions.models import Region
from apps.storage.models import Snapshot, Volume
from tests.factories.billing import make_price
from tests.factories.instances import bring_about, make_stage
from tests.factories.teams import TeamFactory, actor_of, member_of
from tests.faults.harness import check_books, check_world

pytestmark = pytest.mark.django_db
ORIGIN = "https://cloud.example"


@pytest.fixture
def stage(tmp_path):
    return make_stage(tmp_path)


def nothing_happened():
    assert not Instance.objects.exists()
    assert not Reservation.objects.exists()
    assert not Hold.objects.exists()
    assert not Operation.objects.filter(kind="instance.create").exists()


# ------------------------------------------------------------------ launching


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Upper"},
        {"name": "-dash"},
        {"name": "a" * 64},
        {"name": "new\nline"},
        {"disk_gib": 0},
        {"disk_gib": 10**9},
        {"ssh_keys": ("not a key",)},
        {"ssh_keys": ("ssh-ed25519 AAAA\nssh-ed25519 BBBB",)},
        {"surprise": 1},
    ],
)
def test_a_malformed_wish_is_refused(stage, fields):
    with pytest.raises(ValidationError):
        stage.spec(**fields)


@pytest.mark.parametrize("field", ["region", "type", "image"])
def test_what_does_not_exist_is_named(stage, field):
    with pytest.raises(Invalid) as refusal:
        stage.launch(**{field: "nowhere"})
    assert refusal.value.field == field
    nothing_happened()


def test_a_disk_must_be_large_enough(stage):
    with pytest.raises(BadShape):
        stage.launch(disk_gib=5)
    nothing_happened()


def test_a_viewer_may_not_launch(stage):
    viewer = actor_of(stage.team, member_of(stage.team, Role.TEAM_VIEWER))
    with pytest.raises(NotPermitted):
        services.create_instance(actor=viewer, team=stage.team, workspace=stage.workspace, spec=stage.spec())
    nothing_happened()


def gates_of(refusal):
    explanation = refusal.value.context["explanation"]
    return {gate["code"]: gate["ok"] for gate in explanation["gates"]}


def test_without_money_the_refusal_explains_all_gates(tmp_path):
    poor = make_stage(tmp_path, balance="0.01")
    with pytest.raises(NoHeadroom) as refusal:
        poor.launch()
    gates = gates_of(refusal)
    assert [code for code, ok in gates.items() if not ok] == ["balance"]
    assert {"role", "team", "offer", "region", "brake", "type_policy", "inventory", "capacity"} <= set(gates)
    nothing_happened()


def test_without_room_the_refusal_names_what_would_fit(tmp_path):
    stage = make_stage(tmp_path, nodes=1, gpus=1)
    stage.running(type="h100-1")
    with pytest.raises(PoolExhausted) as refusal:
        stage.launch(type="h100-1")
    gates = gates_of(refusal)
    assert not gates["capacity"]
    assert gates["balance"]


def test_a_policy_that_does_not_name_the_type_refuses_it(stage):
    policy = InstanceTypePolicy.objects.create(slug="small", name="Small", is_open=False, slugs=["h100-1"])
    Assignment.objects.filter(team=stage.team).update(instance_type=policy)
    with pytest.raises(PolicyRefused) as refusal:
        stage.launch()
    assert not gates_of(refusal)["type_policy"]
    nothing_happened()


def test_a_closed_or_frozen_region_takes_nothing(stage):
    region = Region.objects.filter(pk=stage.supply.region.pk)
    region.update(frozen_at=db_now())
    with pytest.raises(PoolExhausted) as refusal:
        stage.launch()
    assert not gates_of(refusal)["brake"]
    region.update(frozen_at=None, state="limited")
    with pytest.raises(PoolExhausted) as refusal:
        stage.launch()
    assert not gates_of(refusal)["region"]
    nothing_happened()


def test_explain_agrees_with_the_launch_it_explains(stage):
    explanation = selectors.explain(actor=stage.actor, team=stage.team, spec=stage.spec())
    assert explanation.ok, explanation.refusals
    stage.launch()


def test_a_name_is_used_once_per_workspace_and_free_again_after_deletion(stage):
    first = stage.running(name="web")
    with pytest.raises(NameTaken):
        stage.launch(name="web")
    services.delete_instance(actor=stage.actor, instance_id=first.pk)
    bring_about(first)
    stage.running(name="web")
    check_world(stage)


def test_the_machine_gets_the_keys_and_the_portals_own(stage):
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0yL2s2b2Q5eHh6YWJjZGVmZ2hpamtsbW5vcHFy me"
    instance = stage.running(ssh_keys=(key,))
    assert instance.ssh_keys == [key]
    assert instance.access_public_key.startswith("ssh-ed25519 ")
    assert instance.private_key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert "PRIVATE" not in instance.access_private_key


# ------------------------------------------------------------------ wishes


def test_a_foreign_instance_is_not_there(stage):
    instance = stage.running()
    stranger = actor_of(TeamFactory())
    for wish in (services.stop_instance, services.reboot_instance, services.delete_instance):
        with pytest.raises(NotFound):
            wish(actor=stranger, instance_id=instance.pk)


def test_staff_of_the_region_may_stop_but_not_delete(stage):
    instance = stage.running()
    grants = {region_scope(instance.region_id): GRANTS[Role.REGION_OPERATOR]}
    operator = Actor("operator", grants, kind="user")
    with pytest.raises(NotPermitted):
        services.delete_instance(actor=operator, instance_id=instance.pk)
    with tenancy.as_actor(operator):
        services.stop_instance(actor=operator, instance_id=instance.pk)
    assert bring_about(instance).state == "stopped"
    with tenancy.as_actor(operator):
        services.start_instance(actor=operator, instance_id=instance.pk)
    assert bring_about(instance).state == "running"


@pytest.mark.parametrize(
    ("wish", "state"),
    [
        (services.start_instance, "running"),
        (services.stop_instance, "stopped"),
        (services.reboot_instance, "stopped"),
    ],
)
def test_a_wish_that_does_not_fit_the_state_is_refused(stage, wish, state):
    instance = stage.running()
    if state == "stopped":
        services.stop_instance(actor=stage.actor, instance_id=instance.pk)
        bring_about(instance)
    before = Operation.objects.count()
    with pytest.raises(WrongState):
        wish(actor=stage.actor, instance_id=instance.pk)
    assert Operation.objects.count() == before


def test_one_thing_at_a_time(stage):
    instance = stage.running()
    services.stop_instance(actor=stage.actor, instance_id=instance.pk)
    with pytest.raises(Busy):
        services.reboot_instance(actor=stage.actor, instance_id=instance.pk)


def test_renaming(stage):
    instance, other = stage.running(name="one"), stage.running(name="two")
    services.rename_instance(actor=stage.actor, instance_id=instance.pk, name="three")
    instance.refresh_from_db()
    assert instance.name == "three"
    for wrong in ("", "Three", "x" * 64, "a b"):
        with pytest.raises(Invalid):
            services.rename_instance(actor=stage.actor, instance_id=instance.pk, name=wrong)
    with pytest.raises(NameTaken):
        services.rename_instance(actor=stage.actor, instance_id=instance.pk, name=other.name)


def test_deleting_twice_is_deleting_once(stage):
    instance = stage.running()
    for _each in range(2):
        services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    bring_about(instance)
    assert Operation.objects.filter(kind="instance.delete").count() == 1
    services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    assert Record.objects.filter(action="instance.deleted").count() == 1


def test_a_launch_that_is_cancelled_is_removed(stage):
    instance = stage.launch()
    operations.cancel_operation(actor=stage.actor, operation_id=instance.operation_id)
    bring_about(instance)
    assert instance.state == "deleted"
    assert Operation.objects.get(kind="instance.create").state == "cancelled"
    check_world(stage)
    check_books()


# ------------------------------------------------------------------ sizes and snapshots


def stop(stage, instance):
    services.stop_instance(actor=stage.actor, instance_id=instance.pk)
    return bring_about(instance)


def test_a_stopped_machine_becomes_another_type(stage):
    instance = stop(stage, stage.running())
    services.resize_instance(actor=stage.actor, instance_id=instance.pk, type_slug="cpu-4")
    bring_about(instance)
    assert (instance.vcpus, instance.memory_mib, instance.disk_gib) == (4, 8192, 40)
    assert instance.hourly == Decimal("0.20")
    assert Meter.objects.get(pk=instance.pk).rates == [["disk", "40"]]
    assert Volume.objects.get(instance_id=instance.pk).size_gib == 40
    services.resize_instance(actor=stage.actor, instance_id=instance.pk, type_slug="cpu-2")
    bring_about(instance)
    assert (instance.vcpus, instance.disk_gib) == (2, 40)
    check_world(stage)
    check_books()


def test_a_disk_grows_while_the_machine_runs_and_never_shrinks(stage):
    instance = stage.running()
    services.resize_instance(actor=stage.actor, instance_id=instance.pk, disk_gib=50)
    bring_about(instance)
    assert (instance.state, instance.disk_gib) == ("running", 50)
    assert Meter.objects.get(pk=instance.pk).rates == [["disk", "30"], ["type:cpu-2", "1"]]
    with pytest.raises(BadShape):
        services.resize_instance(actor=stage.actor, instance_id=instance.pk, disk_gib=40)
    check_world(stage)


def test_a_running_machine_keeps_its_type(stage):
    instance = stage.running()
    with pytest.raises(WrongState):
        services.resize_instance(actor=stage.actor, instance_id=instance.pk, type_slug="cpu-4")
    with pytest.raises(BadShape):
        services.resize_instance(actor=stage.actor, instance_id=instance.pk, type_slug="h100-1")


def test_snapshots_are_taken_restored_and_removed(stage):
    instance = stage.running()
    snapshot = services.create_snapshot(actor=stage.actor, instance_id=instance.pk, name="first")
    bring_about(instance)
    snapshot.refresh_from_db()
    assert snapshot.state == "available"
    assert snapshot.size_bytes > 0
    with pytest.raises(NameTaken):
        services.create_snapshot(actor=stage.actor, instance_id=instance.pk, name="first")
    with pytest.raises(WrongState):
        services.restore_snapshot(actor=stage.actor, instance_id=instance.pk, snapshot_id=snapshot.pk)
    stop(stage, instance)
    services.restore_snapshot(actor=stage.actor, instance_id=instance.pk, snapshot_id=snapshot.pk)
    bring_about(instance)
    services.delete_snapshot(actor=stage.actor, instance_id=instance.pk, snapshot_id=snapshot.pk)
    bring_about(instance)
    assert not Snapshot.objects.live().exists()
    assert stage.world.effect_count("restore_snapshot") == 1
    assert not Operation.objects.open().exists()


# ------------------------------------------------------------------ news from below


def test_a_machine_nobody_can_pay_for_is_stopped(stage):
    instance = stage.running()
    for _twice in range(2):
        headroom_lost.send(Meter, resource_id=str(instance.pk), team_id=stage.team.pk)
    bring_about(instance)
    assert instance.state == "stopped"
    assert "balance" in instance.message
    assert Operation.objects.filter(kind="instance.stop").count() == 1


def test_draining_stops_what_runs_there_and_says_who_remains(stage, django_capture_on_commit_callbacks):
    instance = stage.running()
    node = Node.objects.get(pk=instance.node_id)
    assert [(one.name, one.state) for one in occupants_of(node)] == [(instance.name, "running")]
    operator = Actor("operator", {region_scope(node.region_id): GRANTS[Role.REGION_OPERATOR]}, kind="user")
    with django_capture_on_commit_callbacks(execute=True):
        drain_node(actor=operator, node=node)
    bring_about(instance)
    assert instance.state == "stopped"
    assert [(one.name, one.state) for one in occupants_of(node)] == [(instance.name, "stopped")]


def test_a_drain_ends_although_machines_that_are_off_stay_with_their_disks(stage):
    instance = stage.running()
    node = Node.objects.get(pk=instance.node_id)
    operation = drain_node(actor=SYSTEM, node=node)
    assert node_reconcilers.finish_drains() == 0
    reconcilers.clear_draining()
    bring_about(instance)
    assert node_reconcilers.finish_drains() == 1
    node.refresh_from_db()
    assert (node.state, node.vcpus_used) == ("maintenance", instance.vcpus)
    operation.refresh_from_db()
    assert operation.state == "succeeded"
    assert instance.name in operation.steps.get(name="maintain").detail
    with pytest.raises(Unavailable, match="host"):
        services.start_instance(actor=stage.actor, instance_id=instance.pk)
    uncordon_node(actor=SYSTEM, node=node)
    services.start_instance(actor=stage.actor, instance_id=instance.pk)
    assert bring_about(instance).state == "running"
    check_world(stage)


def test_a_drain_whose_news_was_lost_is_caught_up(stage):
    instance = stage.running()
    Node.objects.filter(pk=instance.node_id).update(state="draining")
    assert reconcilers.clear_draining() == 1
    assert bring_about(instance).state == "stopped"
    assert reconcilers.clear_draining() == 0


# ------------------------------------------------------------------ tickets


def test_a_ticket_opens_once_what_it_was_made_for(stage):
    instance = stage.running()
    secret = services.issue_terminal_ticket(actor=stage.actor, instance_id=instance.pk, origin=ORIGIN)
    assert secret not in str(list(Ticket.objects.values_list()))
    for wrong in ({"origin": "https://evil.example"}, {"access": "console"}, {"secret": "x" * 43}):
        with pytest.raises(BadTicket):
            services.redeem_ticket(**{"secret": secret, "origin": ORIGIN, "access": "terminal", **wrong})
    admission = services.redeem_ticket(secret=secret, origin=ORIGIN, access="terminal")
    assert (admission.address, admission.user_id) == (instance.address, stage.actor.user_id)
    assert admission.private_key.startswith("-----BEGIN")
    assert "PRIVATE" not in repr(admission)
    with pytest.raises(BadTicket):
        services.redeem_ticket(secret=secret, origin=ORIGIN, access="terminal")


@pytest.mark.parametrize("price", [None, "60"])
def test_minutes_of_a_terminal_are_charged_where_they_are_sold(stage, price):
    if price:
        make_price("terminal", price)
    instance = stage.running()
    secret = services.issue_terminal_ticket(actor=stage.actor, instance_id=instance.pk, origin=ORIGIN)
    admission = services.redeem_ticket(secret=secret, origin=ORIGIN, access="terminal")
    earlier = replace(admission, opened_at=admission.opened_at - timedelta(minutes=30))
    services.note_closed(admission=earlier, recording="r", sha256="0", reason="over")
    charges.rate_pending()
    lines = RatedUsage.objects.filter(product="terminal", resource_id=instance.pk)
    assert [line.amount >= 30 for line in lines] == ([True] if price else [])
    assert UsageEvent.objects.count() == len(lines)


def test_a_ticket_lapses(stage):
    instance = stage.running()
    secret = services.issue_terminal_ticket(actor=stage.actor, instance_id=instance.pk, origin=ORIGIN)
    Ticket.objects.update(expires_at=db_now() - timedelta(seconds=1))
    with pytest.raises(BadTicket):
        services.redeem_ticket(secret=secret, origin=ORIGIN, access="terminal")
    assert services.forget_tickets() == 1


def test_a_terminal_needs_a_running_machine_and_the_right(stage):
    instance = stage.launch()
    with pytest.raises(WrongState):
        services.issue_terminal_ticket(actor=stage.actor, instance_id=instance.pk, origin=ORIGIN)
    bring_about(instance)
    viewer = actor_of(stage.team, member_of(stage.team, Role.TEAM_VIEWER))
    with pytest.raises(NotPermitted):
        services.issue_terminal_ticket(actor=viewer, instance_id=instance.pk, origin=ORIGIN)
