"""Nodes enter, leave, are lost and found; the brake holds."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pgtrigger
import pytest
from django.db import DatabaseError, transaction

from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Conflict, NotPermitted
from apps.core.ids import new_id
from apps.core.permissions import Role
from apps.core.states import IllegalTransition
from apps.drivers.base import NodeInfo
from apps.drivers.errors import Transient
from apps.gpupools.models import GpuDevice, GpuHold
from apps.gpupools.services.reservations import release, reserve
from apps.nodes import reconcilers, services
from apps.nodes.errors import NodeOccupied
from apps.nodes.models import Node
from apps.nodes.signals import drain_requested, node_found, node_lost
from apps.nodes.states import MACHINE, State
from apps.operations.models import Operation
from apps.regions import services as regions
from apps.regions.models import Cluster, Region
from apps.teams.selectors.actors import actor_for_user
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory
from tests.factories.users import region_staff

pytestmark = pytest.mark.django_db


def occupy(supply: Supply, node: Node) -> str:
    holder = new_id("ins")
    others = [one.pk for one in supply.nodes if one.pk != node.pk]
    Node.objects.filter(pk__in=others).update(health="suspect")
    reserve(holder_id=holder, team_id=TeamFactory().pk, wanted=supply.gpu_wanted(), now=db_now())
    Node.objects.filter(pk__in=others).update(health="healthy")
    return holder


def watch(supply: Supply, now: datetime) -> None:
    """A look without an answer."""
    regions.note_unseen(cluster_id=supply.cluster.pk, now=now, problem="no route")


def judge(supply: Supply, now: datetime) -> dict[str, str]:
    return services.judge(cluster=Cluster.objects.get(pk=supply.cluster.pk), now=now)


def test_every_edge_of_the_life_is_the_databases_too() -> None:
    supply = make_supply(nodes=1, gpus=0)
    pk = supply.nodes[0].pk
    edges = set(MACHINE.edges())
    for source in State:
        for target in State:
            if source == target:
                continue
            with pgtrigger.ignore("nodes.Node:states"):
                Node.objects.update(state=source)
            try:
                with transaction.atomic():
                    Node.objects.filter(pk=pk).update(state=target)
                allowed = True
            except DatabaseError:
                allowed = False
            assert allowed == ((source, target) in edges), (source, target)


def test_a_node_enters_step_by_step(tmp_path: Path) -> None:
    supply = make_supply(tmp_path / "sim.sqlite", nodes=1)
    node = supply.nodes[0]
    services.cordon_node(actor=SYSTEM, node=node)
    services.retire_node(actor=SYSTEM, node=node)
    operation = services.enrol_node(actor=SYSTEM, node=node)
    assert Node.objects.get(pk=node.pk).state == State.TESTING
    reconcilers.sync_cluster(cluster_id=supply.cluster.pk)
    node.refresh_from_db()
    assert (node.state, node.operation_id) == (State.READY, None)
    operation.refresh_from_db()
    assert operation.state == "succeeded"


def test_new_nodes_wait_for_staff_unless_the_cluster_takes_them(tmp_path: Path) -> None:
    supply = make_supply(tmp_path / "sim.sqlite", nodes=1)
    more = {
        **supply.cluster.config,
        "nodes": [*supply.cluster.config["nodes"], {"prefix": "new", "count": 1}],
    }
    regions.configure_cluster(actor=SYSTEM, cluster=supply.cluster, name="Bigger", config=more)
    reconcilers.sync_cluster(cluster_id=supply.cluster.pk)
    assert Node.objects.get(name="new-01").state == State.ENROLLING
    regions.configure_cluster(actor=SYSTEM, cluster=supply.cluster, name="B", config=more, auto_enrol=True)
    reconcilers.sync_cluster(cluster_id=supply.cluster.pk)
    assert Node.objects.get(name="new-01").state == State.READY


def test_a_drain_ends_in_maintenance_when_the_last_machine_has_left() -> None:
    supply = make_supply(nodes=1)
    node = supply.nodes[0]
    holder = occupy(supply, node)
    heard: list[Any] = []

    def listen(**news: Any) -> None:
        heard.append(news["operation_id"])

    drain_requested.connect(listen)
    try:
        operation = services.drain_node(actor=SYSTEM, node=node, reason="New fans")
    finally:
        drain_requested.disconnect(listen)
    assert heard == [operation.pk]
    assert reconcilers.finish_drains() == 0
    release(holder_id=holder)
    assert reconcilers.finish_drains() == 1
    node.refresh_from_db()
    assert (node.state, node.note) == (State.MAINTENANCE, "New fans")
    assert Operation.objects.get().state == "succeeded"
    services.uncordon_node(actor=SYSTEM, node=node)
    assert Node.objects.get().state == State.READY


def test_taking_a_node_back_calls_its_drain_off() -> None:
    supply = make_supply(nodes=1)
    occupy(supply, supply.nodes[0])
    services.drain_node(actor=SYSTEM, node=supply.nodes[0])
    services.uncordon_node(actor=SYSTEM, node=supply.nodes[0])
    assert Operation.objects.get().state == "cancelled"
    assert Node.objects.get().state == State.READY


def test_occupied_nodes_are_neither_retired_nor_put_into_maintenance() -> None:
    supply = make_supply(nodes=1)
    node = supply.nodes[0]
    occupy(supply, node)
    with pytest.raises(IllegalTransition):
        services.retire_node(actor=SYSTEM, node=make_supply(nodes=1, gpus=0).nodes[0])
    services.cordon_node(actor=SYSTEM, node=node)
    with pytest.raises(NodeOccupied):
        services.maintain_node(actor=SYSTEM, node=node)
    with pytest.raises(NodeOccupied):
        services.retire_node(actor=SYSTEM, node=node)


def test_region_staff_act_in_their_region_only() -> None:
    mine, other = make_supply(nodes=1, gpus=0), make_supply(nodes=1, gpus=0)
    actor = actor_for_user(region_staff(Role.REGION_OPERATOR, mine.region))
    assert services.cordon_node(actor=actor, node=mine.nodes[0]).state == State.CORDONED
    with pytest.raises(NotPermitted):
        services.cordon_node(actor=actor, node=other.nodes[0])


def test_health_follows_the_time_without_proof_while_somebody_looks() -> None:
    supply = make_supply(nodes=3, gpus=1)
    start = db_now()
    regions.note_seen(cluster_id=supply.cluster.pk, now=start)
    lost, still = supply.nodes[0], [one.pk for one in supply.nodes[1:]]
    news: list[str] = []

    def on_lost(node_id: str, **_news: Any) -> None:
        news.append(f"lost {node_id}")

    def on_found(node_id: str, **_news: Any) -> None:
        news.append(f"found {node_id}")

    node_lost.connect(on_lost)
    node_found.connect(on_found)
    try:
        for second in (10, 20, 31, 41, 51):
            now = start + timedelta(seconds=second)
            regions.note_seen(cluster_id=supply.cluster.pk, now=now)
            Node.objects.filter(pk__in=still).update(last_seen_at=now)
            judge(supply, now)
            lost.refresh_from_db()
            expected = "healthy" if second < 30 else "suspect" if second < 50 else "unreachable"
            assert lost.health == expected
        Node.objects.filter(pk=lost.pk).update(last_seen_at=now)
        judge(supply, now)
    finally:
        node_lost.disconnect(on_lost)
        node_found.disconnect(on_found)
    assert news == [f"lost {lost.pk}", f"found {lost.pk}"]
    assert set(Node.objects.values_list("health", flat=True)) == {"healthy"}


def test_what_happened_while_nobody_looked_counts_for_nothing() -> None:
    supply = make_supply(nodes=2, gpus=0)
    start = db_now()
    regions.note_seen(cluster_id=supply.cluster.pk, now=start)
    later = start + timedelta(minutes=10)
    watch(supply, later)
    assert judge(supply, later) == {}
    watch(supply, later + timedelta(seconds=20))
    assert judge(supply, later + timedelta(seconds=20)) == {}


def test_the_brake_freezes_the_region_and_no_node_is_given_up() -> None:
    supply = make_supply(nodes=4, gpus=0)
    start = db_now()
    regions.note_seen(cluster_id=supply.cluster.pk, now=start)
    for second in (15, 30, 45, 60, 75):
        now = start + timedelta(seconds=second)
        watch(supply, now)
        judge(supply, now)
    assert set(Node.objects.values_list("health", flat=True)) == {"suspect"}
    region = Region.objects.get()
    assert region.frozen_because == "4 of 4 nodes went out of sight at once."
    with pytest.raises(Conflict):
        regions.freeze_region(actor=SYSTEM, region=region)
    regions.unfreeze_region(actor=SYSTEM, region=region)
    Region.objects.update(thawed_at=now)  # staff looked: from here on the platform trusts its sight again
    judge(supply, now)
    assert set(Node.objects.values_list("health", flat=True)) == {"unreachable"}
    assert Region.objects.get().frozen_at is None


def test_a_cluster_that_does_not_answer_frees_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supply = make_supply(tmp_path / "sim.sqlite", nodes=1, gpus=2)
    occupy(supply, supply.nodes[0])

    class Broken:
        def check(self) -> None:
            raise Transient("The line is down.")

    with monkeypatch.context() as patch:
        patch.setattr(reconcilers, "any_driver_of", lambda _cluster: Broken())
        reconcilers.sync_cluster(cluster_id=supply.cluster.pk)
    assert Cluster.objects.get().last_error == "The line is down."
    assert GpuHold.objects.filter(released_at=None).count() == 1
    assert Node.objects.get().vcpus_used == 2
    reconcilers.sync_cluster(cluster_id=supply.cluster.pk)
    assert Cluster.objects.get().last_error == ""


def test_a_card_that_is_no_longer_reported_is_missing_and_stays_held(tmp_path: Path) -> None:
    supply = make_supply(tmp_path / "sim.sqlite", nodes=1, gpus=2)
    occupy(supply, supply.nodes[0])
    info = reconcilers.any_driver_of(supply.cluster).inventory().nodes[0]
    gone = GpuDevice.objects.get(slices__holds__released_at=None, slices__holds__isnull=False)
    fewer = replace(info, gpus=tuple(gpu for gpu in info.gpus if gpu.uuid != gone.uuid), vcpus=1)
    later = db_now() + timedelta(seconds=1)
    services.record_inventory(cluster=supply.cluster, nodes=[fewer], now=later, is_complete=False)
    gone.refresh_from_db()
    assert gone.health == "healthy"
    services.record_inventory(cluster=supply.cluster, nodes=[fewer], now=later)
    gone.refresh_from_db()
    assert gone.health == "missing"
    assert GpuHold.objects.filter(released_at=None).count() == 1
    node = Node.objects.get()
    assert (node.vcpus, node.problem) == (2, "It reports less than its machines use.")
    services.record_inventory(cluster=supply.cluster, nodes=[info], now=db_now() + timedelta(seconds=2))
    gone.refresh_from_db()
    assert gone.health == "healthy"
    assert Node.objects.get().problem == ""


def test_a_card_moves_when_its_old_node_is_retired_or_shows_it_no_more(tmp_path: Path) -> None:
    supply = make_supply(tmp_path / "sim.sqlite", nodes=2, gpus=1)
    one, other = reconcilers.any_driver_of(supply.cluster).inventory().nodes
    (card,) = one.gpus

    def report(*nodes: NodeInfo) -> tuple[str, str]:
        """Where the card is then, and what is said of the node that shows it."""
        services.record_inventory(cluster=supply.cluster, nodes=nodes, now=db_now())
        place = GpuDevice.objects.select_related("node").get(uuid=card.uuid).node.name
        return place, Node.objects.get(name=nodes[-1].name).problem

    both = replace(other, gpus=(*other.gpus, card))
    place, problem = report(both)
    assert place == one.name
    assert f"{card.uuid} is known at {one.name}" in problem
    assert report(replace(one, gpus=()), both) == (other.name, "")
    for state in (State.CORDONED, State.RETIRED):
        Node.objects.filter(name=other.name).update(state=state)
    assert report(one) == (one.name, "")
