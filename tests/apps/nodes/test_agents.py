"""Hosts that report themselves: how they come in, what their heartbeats do, and who else may not."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotPermitted
from apps.core.ids import new_id
from apps.core.permissions import Role
from apps.gpupools.models import GpuDevice
from apps.nodes import reconcilers, services
from apps.nodes.errors import UnknownAgent
from apps.nodes.models import Node, NodeAgent, NodeCredential, NodeSample
from apps.nodes.selectors import actor_for_agent, credential_of, token_of
from apps.nodes.services import Invitation
from apps.nodes.services.agents import OVERLAP, ROTATE_AFTER
from apps.nodes.signals import engines_asked, notice_given
from apps.nodes.specs import EngineAt, Facts, Notice, Orders, Report, Sample, hash_of
from apps.nodes.states import Health, State
from apps.operations.models import Operation
from apps.regions.models import Cluster, Region
from apps.teams.selectors.actors import actor_for_user
from tests.factories.supply import make_region, make_supply
from tests.factories.users import region_staff

pytestmark = pytest.mark.django_db
JOURNAL = UUID(int=7)


@pytest.fixture
def region() -> Region:
    return make_region()


def card(number: int = 1, **fields: Any) -> dict[str, Any]:
    made = {"uuid": f"GPU-{number}", "vendor": "nvidia", "model": "h100-80gb", "memory_mib": 81920}
    made |= {"pci_address": f"0000:{number:02x}:00.0", "numa_node": 0, "health": "healthy", "reason": ""}
    return {**made, **fields}


def facts(*cards: dict[str, Any], **fields: Any) -> Facts:
    made = {"hostname": "gpu-01", "vcpus": 64, "memory_mib": 524288, "disk_gib": 4000, "kernel": "6.1"}
    checks = [{"name": "disk", "ok": True, "detail": ""}]
    return Facts(**{**made, "gpus": list(cards), "checks": checks, **fields})


def sample(seq: int, **fields: Any) -> Sample:
    made = {"at": db_now(), "seconds": 10.0, "cpu_percent": 3.0, "memory_used_mib": 100, "disk_used_gib": 1}
    return Sample(seq=seq, **{**made, **fields})


class Host:
    """A pretended agent: it has the secrets and sends what it is told to."""

    def __init__(self, invitation: Invitation, *, is_registered: bool = True):
        self.invitation, self.secret = invitation, "hai_node_" + new_id("test")
        self.node = invitation.node
        if is_registered:
            self.register()

    def register(self, credential: str = "") -> Node:
        token = token_of(self.invitation.secret)
        actor = actor_for_agent(token.node)
        return services.register_agent(
            actor=actor, token=token, credential=hash_of(credential or self.secret), version="0.1.0"
        )

    def beat(self, *samples: Sample, now: Any = None, secret: str = "", **fields: Any) -> Orders:
        credential = credential_of(secret or self.secret)
        actor = actor_for_agent(credential.node)
        moment = now or db_now()
        made = {"journal": JOURNAL, "version": "0.1.0", "sent_at": moment, "samples": samples}
        report = Report(**{**made, **fields})
        return services.record_heartbeat(actor=actor, credential=credential, report=report, now=moment)

    def seen(self) -> Node:
        found: Node = Node.objects.get(pk=self.node.pk)
        return found


def add(region: Region, name: str = "gpu-01", **fields: Any) -> Host:
    return Host(services.add_node(actor=SYSTEM, region=region, name=name), **fields)


def steps() -> dict[str, str]:
    operation = Operation.objects.latest("created_at")
    return {one.name: one.state for one in operation.steps.order_by("position")}


# ------------------------------------------------------------ coming in


def test_a_host_comes_in_by_steps_that_can_be_watched(region: Region) -> None:
    host = add(region, is_registered=False)
    assert steps() == {
        "add": "done", "keys": "running", "test": "pending", "initialize": "pending", "join": "pending",
        "scan": "pending", "pool": "pending",
    }  # fmt: skip
    host.register()
    assert (steps()["keys"], steps()["test"]) == ("done", "running")
    host.beat()
    assert host.seen().state == State.TESTING
    host.beat(facts=facts(card(1), card(2)))
    assert host.seen().state == State.READY
    assert set(steps().values()) == {"done"}
    detail = Operation.objects.get().steps.get(name="pool").detail
    assert detail == "2 GPUs wait to be put into a pool."
    assert GpuDevice.objects.filter(node=host.node).count() == 2


def test_what_is_not_right_stops_the_host_and_can_be_tried_again(region: Region) -> None:
    host = add(region)
    broken = facts(checks=[{"name": "disk", "ok": False, "detail": "0 GiB free"}])
    host.beat(facts=broken)
    operation = Operation.objects.get()
    assert (operation.state, operation.error_message) == ("failed", "disk: 0 GiB free")
    assert (host.seen().state, host.seen().problem) == (State.ENROLLING, "disk: 0 GiB free")
    host.beat(facts=facts())
    assert host.seen().state == State.ENROLLING, "nobody asked for another try"
    services.enrol_node(actor=SYSTEM, node=host.seen())
    assert steps()["keys"] == "done", "what was reached before counts"
    host.beat(facts=facts())
    assert host.seen().state == State.READY


def test_a_host_that_does_not_come_is_given_up_after_its_hour(region: Region) -> None:
    host = add(region, is_registered=False)
    Operation.objects.update(deadline_at=db_now() - timedelta(seconds=1))
    reconcilers.sync_cluster(cluster_id=str(host.node.cluster_id))
    assert Operation.objects.get().state == "failed"
    assert host.seen().operation_id is None
    assert Host(services.invite_agent(actor=SYSTEM, node=host.seen())).register().pk == host.node.pk


def test_a_token_works_once_and_a_repeated_registration_is_the_same(region: Region) -> None:
    host = add(region)
    assert host.register().pk == host.node.pk
    with pytest.raises(UnknownAgent):
        host.register("hai_node_another")
    assert NodeCredential.objects.good().count() == 1


@pytest.mark.parametrize("ending", ["expired", "revoked", "replaced", "retired", "nonsense"])
def test_a_token_that_is_no_longer_good_opens_nothing(region: Region, ending: str) -> None:
    host = add(region, is_registered=False)
    if ending == "expired":
        host.node.tokens.update(expires_at=db_now())
    elif ending == "revoked":
        services.revoke_agent(actor=SYSTEM, node=host.node)
    elif ending == "replaced":
        services.invite_agent(actor=SYSTEM, node=host.node)
    elif ending == "retired":
        services.retire_node(actor=SYSTEM, node=host.node)
    secret = host.invitation.secret if ending != "nonsense" else "hai_enrol_x"
    with pytest.raises(UnknownAgent):
        token_of(secret)


def test_secrets_are_kept_as_hashes_only(region: Region) -> None:
    host = add(region)
    with connection.cursor() as cursor:
        for table in ("nodes_enrolmenttoken", "nodes_nodecredential", "audit_record", "operations_event"):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t")
            text = cursor.fetchone()[0] or ""
            assert host.secret not in text
            assert host.invitation.secret not in text


@pytest.mark.parametrize("name", ["", "-a", "a b", "x" * 64, "a..b", "ä/b"])
def test_names_are_those_of_hosts(region: Region, name: str) -> None:
    with pytest.raises(Invalid):
        services.add_node(actor=SYSTEM, region=region, name=name)


def test_a_name_is_taken_once(region: Region) -> None:
    add(region)
    with pytest.raises(Conflict):
        add(region)


# ------------------------------------------------------------ heartbeats


def test_a_heartbeat_costs_the_same_however_much_it_carries(region: Region) -> None:
    host = add(region)
    host.beat(facts=facts(card(1)))
    first = sample(1)
    with CaptureQueriesContext(connection) as few:
        host.beat(first, facts=facts(card(1)))
    many = [sample(n, gpus=[{"uuid": "GPU-1"}] * 8) for n in range(2, 202)]
    with CaptureQueriesContext(connection) as more:
        host.beat(*many, facts=facts(card(1)))
    assert len(more) == len(few) <= 14


def test_entries_count_once_however_often_they_arrive(region: Region) -> None:
    host = add(region)
    assert host.beat(sample(1), sample(2)).acknowledged == 2
    assert host.beat(sample(1), sample(2), sample(3)).acknowledged == 3
    assert host.beat(sample(2)).acknowledged == 3
    assert list(NodeSample.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3]
    assert host.beat(sample(1), journal=uuid4()).acknowledged == 1
    assert NodeSample.objects.count() == 4


def test_cards_follow_what_the_agent_sees(region: Region) -> None:
    host = add(region)
    host.beat(facts=facts(card(1), card(2)))
    host.beat(facts=facts(card(1), card(2, health="failed", reason="Xid 79")))
    assert GpuDevice.objects.get(uuid="GPU-2").health == "failed"
    assert host.seen().problem == "0000:02:00.0: Xid 79"
    host.beat(facts=facts(gpus=None))
    assert GpuDevice.objects.get(uuid="GPU-1").health == "healthy", "not asked is not gone"
    host.beat(facts=facts(card(2)))
    assert GpuDevice.objects.get(uuid="GPU-1").health == "missing"


def test_cards_may_be_called_anything_and_shown_twice(region: Region) -> None:
    host = add(region)
    names = ("昇腾", "寒武纪", "x" * 80, "x" * 79)
    cards = [card(n, model=name) for n, name in enumerate(names)]
    for kernel in ("6.1", "6.2"):
        host.beat(facts=facts(*cards, cards[0], kernel=kernel))
    assert GpuDevice.objects.count() == len(names)


def test_a_clock_that_is_off_is_a_problem_to_look_at(region: Region) -> None:
    host = add(region)
    host.beat(sent_at=db_now() + timedelta(minutes=5))
    assert host.seen().problem == "Its clock is 300 s off."


def test_nothing_is_measured_in_the_future(region: Region) -> None:
    """It would never be old enough to be forgotten."""
    host = add(region)
    host.beat(sample(1, at=db_now() + timedelta(days=365)))
    assert NodeSample.objects.get().at <= db_now()


@pytest.mark.parametrize("number", ["NaN", "inf", "-inf"])
def test_a_number_is_a_number(region: Region, number: str) -> None:
    host = add(region)
    entry = {"seq": 1, "at": 1.0, "seconds": number, "cpu_percent": 1, "gpus": [], "engines": []}
    entry |= {"memory_used_mib": 1, "disk_used_gib": 1}
    body = {"journal": str(JOURNAL), "version": "0", "sent_at": number, "samples": [entry]}
    answer = Client().post(
        f"/admin/nodes/{host.node.pk}/heartbeat", body, "application/json",
        headers={"Authorization": f"Bearer {host.secret}"},
    )  # fmt: skip
    assert answer.status_code == 422
    assert {one["field"] for one in answer.json()["errors"]} == {"sent_at", "samples.0.seconds"}


def test_hosts_of_other_drivers_are_measured_but_not_believed() -> None:
    """What a hypervisor reports of its host is not overruled by an agent on it."""
    supply = make_supply(nodes=1, gpus=2)
    host = Host(services.invite_agent(actor=SYSTEM, node=supply.nodes[0]))
    before = host.seen()
    host.beat(sample(1), facts=facts(card(9)))
    after = host.seen()
    assert (after.vcpus, after.last_seen_at) == (before.vcpus, before.last_seen_at)
    assert NodeSample.objects.filter(node=after).count() == 1
    assert not GpuDevice.objects.filter(uuid="GPU-9").exists()


def test_the_agent_is_told_which_engines_to_watch(region: Region) -> None:
    host = add(region)

    def tell(**_news: Any) -> list[EngineAt]:
        return [EngineAt("rep_1", "http://127.0.0.1:9")]

    engines_asked.connect(tell)
    try:
        assert list(host.beat().engines) == [EngineAt("rep_1", "http://127.0.0.1:9")]
    finally:
        engines_asked.disconnect(tell)


@pytest.fixture
def notices() -> Iterator[list[Any]]:
    heard: list[Any] = []

    def listen(**news: Any) -> None:
        heard.append((news["node_id"], news["notice"].action))

    notice_given.connect(listen)
    yield heard
    notice_given.disconnect(listen)


def test_a_spot_notice_is_told_once_and_drains_the_node(region: Region, notices: list[Any]) -> None:
    host = add(region)
    host.beat(facts=facts())
    notice = Notice("terminate", db_now() + timedelta(minutes=2), "aws")
    host.beat(notice=notice)
    host.beat(notice=notice)
    assert notices == [(host.node.pk, "terminate")]
    assert host.seen().state == State.DRAINING
    assert reconcilers.finish_drains() == 1


def test_a_host_that_fenced_itself_says_so(region: Region) -> None:
    host = add(region)
    host.beat(fenced_at=db_now())
    assert NodeAgent.objects.get().fenced_at is not None
    host.beat()
    assert NodeAgent.objects.get().fenced_at is None


# ------------------------------------------------------------ credentials


def test_a_credential_is_rotated_with_an_overlap(region: Region) -> None:
    host = add(region)
    assert not host.beat().rotate
    NodeCredential.objects.update(created_at=db_now() - ROTATE_AFTER)
    assert host.beat().rotate
    fresh = "hai_node_fresh"
    for _each in range(2):
        assert host.beat(next_credential=hash_of(fresh)).accepted_credential == hash_of(fresh)
    assert not host.beat(secret=fresh).rotate
    assert host.beat().acknowledged == 0, "the old one lives a little longer"
    old = NodeCredential.objects.get(hash=hash_of(host.secret))
    assert old.expires_at <= db_now() + OVERLAP
    NodeCredential.objects.filter(pk=old.pk).update(expires_at=db_now())
    with pytest.raises(UnknownAgent):
        host.beat()


def test_nobody_can_introduce_the_credential_of_another_node(region: Region) -> None:
    one, other = add(region), add(region, "gpu-02")
    NodeCredential.objects.update(created_at=db_now() - ROTATE_AFTER)
    assert one.beat(next_credential=hash_of(other.secret)).accepted_credential == ""
    assert other.beat(sample(1)).acknowledged == 1


def test_one_successor_waits_at_a_time_and_none_before_it_is_due(region: Region) -> None:
    host, (first, second) = add(region), ("hai_node_first", "hai_node_second")

    def introduce(secret: str) -> bool:
        return bool(host.beat(next_credential=hash_of(secret)).accepted_credential)

    assert not introduce(first)
    NodeCredential.objects.update(created_at=db_now() - ROTATE_AFTER)
    assert introduce(first)
    assert not introduce(second)
    NodeCredential.objects.filter(hash=hash_of(first)).update(created_at=db_now() - 2 * OVERLAP)
    assert introduce(second)
    with pytest.raises(UnknownAgent):
        host.beat(secret=first)


@pytest.mark.parametrize("ending", ["revoked", "retired", "replaced"])
def test_a_closed_door_is_closed_at_once(region: Region, ending: str) -> None:
    host = add(region)
    if ending == "revoked":
        services.revoke_agent(actor=SYSTEM, node=host.node)
    elif ending == "retired":
        services.retire_node(actor=SYSTEM, node=host.seen())
    else:
        Host(services.invite_agent(actor=SYSTEM, node=host.node))
    with pytest.raises(UnknownAgent):
        host.beat()


def test_an_agent_speaks_for_its_own_node_only(region: Region) -> None:
    one, other = add(region), add(region, "gpu-02")
    client = Client()
    body = {"journal": str(JOURNAL), "version": "0", "sent_at": db_now().timestamp(), "samples": []}

    def post(node: Node, secret: str) -> int:
        return client.post(
            f"/admin/nodes/{node.pk}/heartbeat", body, "application/json",
            headers={"Authorization": f"Bearer {secret}"},
        ).status_code  # fmt: skip

    assert post(one.node, one.secret) == 200
    assert post(other.node, one.secret) == 404
    assert post(one.node, one.invitation.secret) == 401
    assert client.post("/admin/nodes/register", {}, "application/json").status_code == 401


def test_only_who_may_enrol_can_invite() -> None:
    supply = make_supply(nodes=1, gpus=0)
    roles = (Role.REGION_VIEWER, Role.REGION_OPERATOR)
    people, elsewhere = [region_staff(role, supply.region) for role in roles], make_region()
    viewer, operator = map(actor_for_user, people)
    with pytest.raises(NotPermitted):
        services.add_node(actor=viewer, region=supply.region, name="x")
    with pytest.raises(NotPermitted):
        services.add_node(actor=operator, region=elsewhere, name="x")
    assert services.add_node(actor=operator, region=supply.region, name="x").secret


def test_a_host_cannot_take_a_card_that_another_shows(region: Region) -> None:
    first, second = add(region), add(region, "gpu-02")
    first.beat(facts=facts(card(1), card(2)))
    second.beat(facts=facts(card(2), hostname="gpu-02"))
    kept = GpuDevice.objects.get(uuid="GPU-2")
    assert kept.node_id == first.node.pk
    assert "GPU-2 is known at gpu-01" in second.seen().problem
    second.beat()
    assert "GPU-2 is known at gpu-01" in second.seen().problem
    first.beat(facts=facts(card(1)), now=db_now())
    second.beat(facts=facts(card(2), hostname="gpu-02"), now=db_now())
    kept.refresh_from_db()
    assert (kept.node_id, kept.health, second.seen().problem) == (second.node.pk, "healthy", "")


def test_cards_are_where_they_are_shown(region: Region) -> None:
    host = add(region)

    def shows(*cards: dict[str, Any], **more: Any) -> dict[str, str]:
        """Which card is at which place then."""
        host.beat(facts=facts(*cards), **more)
        there = GpuDevice.objects.filter(node=host.node).exclude(health="missing")
        return dict(there.values_list("pci_address", "uuid"))

    one, two = card(1)["pci_address"], card(2)["pci_address"]
    spare = card(3, pci_address=one)
    assert shows(card(1), card(2)) == {one: "GPU-1", two: "GPU-2"}
    assert shows(card(1, pci_address=two), card(2, pci_address=one)) == {one: "GPU-2", two: "GPU-1"}
    assert shows(spare, card(2, pci_address=two)) == {one: "GPU-3", two: "GPU-2"}
    assert GpuDevice.objects.get(uuid="GPU-1").health == "missing"
    assert shows(spare, card(1), card(2)) in ({one: "GPU-3", two: "GPU-2"}, {one: "GPU-1", two: "GPU-2"})
    assert shows(card(1), card(2)) == {one: "GPU-1", two: "GPU-2"}
    assert host.seen().problem == ""


# ------------------------------------------------------------ silence


def test_of_two_agents_the_silent_one_is_suspected_then_given_up(region: Region) -> None:
    hosts = [add(region, f"gpu-{n:02}") for n in range(4)]
    began = db_now()
    for host in hosts:
        host.beat(facts=facts(hostname=host.node.name), now=began)
    cluster = Cluster.objects.get(pk=hosts[0].node.cluster_id)

    def at(seconds: int, *beating: Host) -> list[str]:
        now = began + timedelta(seconds=seconds)
        for host in beating:
            host.beat(now=now)
        services.judge(cluster=cluster, now=now)
        return [str(host.seen().health) for host in hosts]

    silent, *rest = hosts
    well = [Health.HEALTHY] * 3
    for seconds in (10, 20, 29):
        assert at(seconds, *rest) == [Health.HEALTHY, *well]
    assert at(30, *rest) == [Health.SUSPECT, *well]
    assert at(49, *rest) == [Health.SUSPECT, *well]
    assert at(50, *rest) == [Health.UNREACHABLE, *well]
    assert at(60, *hosts) == [Health.HEALTHY, *well]
    assert Region.objects.get().frozen_at is None
    assert silent.seen().state == State.READY, "health is not life"


def test_when_most_fall_silent_at_once_the_brake_holds_everything(region: Region) -> None:
    hosts = [add(region, f"gpu-{n:02}") for n in range(4)]
    began = db_now()
    for host in hosts:
        host.beat(facts=facts(hostname=host.node.name), now=began)
    cluster = Cluster.objects.get(pk=hosts[0].node.cluster_id)
    for seconds in (35, 60):
        hosts[0].beat(now=began + timedelta(seconds=seconds))
        services.judge(cluster=cluster, now=began + timedelta(seconds=seconds))
    assert Region.objects.get().frozen_at is not None
    assert {str(host.seen().health) for host in hosts[1:]} == {Health.SUSPECT}
