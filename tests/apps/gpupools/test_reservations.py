"""Capacity is taken and given back exactly."""

import threading

import pytest
from django.db import IntegrityError, connection, connections, transaction

from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.ids import new_id
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.models import GpuDevice, GpuHold, GpuSlice, Reservation
from apps.gpupools.services.reservations import release, reserve, swap
from apps.gpupools.specs import Placed, Wanted
from apps.nodes.models import Node
from apps.policies.models import QuotaUsage
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory

pytestmark = pytest.mark.django_db


def take(supply: Supply, wanted: Wanted | None = None, *, team: str = "", holder: str = "") -> Placed:
    return reserve(
        holder_id=holder or new_id("ins"),
        team_id=team or TeamFactory().pk,
        wanted=wanted or supply.gpu_wanted(),
        now=db_now(),
    )


def test_reserve_holds_a_slice_and_counts_what_is_used() -> None:
    supply = make_supply(nodes=1, gpus=2)
    team = TeamFactory()
    placed = take(supply, supply.gpu_wanted(2), team=team.pk)
    node = Node.objects.get(pk=placed.node_id)
    assert (node.vcpus_used, node.memory_mib_used, node.disk_gib_used) == (2, 4096, 20)
    assert placed.node_name == node.name
    assert len(set(placed.slice_ids)) == len(placed.pci_addresses) == 2
    assert GpuHold.objects.filter(released_at=None).count() == 2
    used = {(q.level, q.metric): q.used for q in QuotaUsage.objects.filter(team=team)}
    assert used["global", "gpu:h100-80gb"] == used["region", "gpu:h100-80gb"] == 2
    assert used["global", "instances"] == 1


def test_reserve_takes_few_statements(django_assert_max_num_queries) -> None:
    supply = make_supply()
    team = TeamFactory().pk
    # Fleet, quota limits, counters, node with reservation, free slices, holds; the clock and a savepoint.
    with django_assert_max_num_queries(9):
        take(supply, team=team)


def test_release_gives_everything_back_once() -> None:
    supply = make_supply(nodes=1, gpus=1)
    team, holder = TeamFactory().pk, new_id("ins")
    take(supply, team=team, holder=holder)
    assert release(holder_id=holder) is True
    assert release(holder_id=holder) is False
    node = Node.objects.get()
    assert (node.vcpus_used, node.memory_mib_used, node.disk_gib_used) == (0, 0, 0)
    assert not GpuHold.objects.filter(released_at=None).exists()
    assert set(QuotaUsage.objects.values_list("used", flat=True)) == {0}
    assert take(supply, team=team).slice_ids


def test_what_does_not_fit_is_refused_with_reasons_and_the_nearest_that_does() -> None:
    supply = make_supply(nodes=2, gpus=4)
    with pytest.raises(PoolExhausted) as refusal:
        take(supply, supply.gpu_wanted(5))
    assert refusal.value.context["rejected"] == {"too_few_gpus": 2}
    assert refusal.value.context["nearest"]["gpus"] == 4
    assert not Reservation.objects.exists()


def test_a_private_pool_serves_its_team_only_and_first() -> None:
    owner, other = TeamFactory(), TeamFactory()
    supply = make_supply(nodes=1, gpus=1, team=owner)
    with pytest.raises(PoolExhausted) as refusal:
        take(supply, team=other.pk)
    assert refusal.value.context["rejected"] == {"pool_not_open": 1}
    assert take(supply, team=owner.pk).pool_id == supply.pool.pk


def test_shared_cards_are_sold_as_often_as_their_ratio_says() -> None:
    supply = make_supply(nodes=1, gpus=1, ratio=3)
    team = TeamFactory().pk
    assert len({take(supply, team=team).slice_ids for _each in range(3)}) == 3
    with pytest.raises(PoolExhausted):
        take(supply, team=team)


def test_a_machine_never_gets_two_shares_of_one_card() -> None:
    supply = make_supply(nodes=1, gpus=1, ratio=4)
    with pytest.raises(PoolExhausted):
        take(supply, supply.gpu_wanted(2))


@pytest.mark.parametrize("change", [{"health": "failed"}, {"health": "missing"}, {"is_isolated": True}])
def test_sick_and_isolated_cards_are_not_given_out(change: dict[str, object]) -> None:
    supply = make_supply(nodes=1, gpus=1)
    GpuDevice.objects.update(**change)
    with pytest.raises(PoolExhausted):
        take(supply)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"state": "cordoned"}, "not_ready"), ({"health": "suspect"}, "not_healthy")],
)
def test_nodes_out_of_service_get_nothing_new(change: dict[str, str], reason: str) -> None:
    supply = make_supply(nodes=1)
    Node.objects.update(**change)
    with pytest.raises(PoolExhausted) as refusal:
        take(supply)
    assert refusal.value.context["rejected"] == {reason: 1}


def test_a_frozen_region_gets_nothing_new() -> None:
    supply = make_supply(nodes=2)
    supply.region.frozen_at = db_now()
    supply.region.save()
    with pytest.raises(PoolExhausted) as refusal:
        take(supply)
    assert refusal.value.context["rejected"] == {"region_frozen": 2}


def test_machines_without_gpu_keep_off_nodes_that_have_some() -> None:
    supply = make_supply(nodes=2, gpus=1)
    plain = supply.nodes[1]
    GpuSlice.objects.filter(device__node=plain).delete()
    GpuDevice.objects.filter(node=plain).delete()
    assert take(supply, supply.wanted()).node_id == plain.pk


def test_swap_grows_and_shrinks_where_it_is() -> None:
    supply = make_supply(nodes=2, gpus=4)
    team, holder = TeamFactory().pk, new_id("ins")
    first = take(supply, supply.gpu_wanted(2), team=team, holder=holder)
    more = swap(holder_id=holder, wanted=supply.gpu_wanted(4, vcpus=8), now=db_now())
    assert more.node_id == first.node_id
    assert set(first.slice_ids) < set(more.slice_ids)
    node = Node.objects.get(pk=first.node_id)
    assert node.vcpus_used == 8
    less = swap(holder_id=holder, wanted=supply.gpu_wanted(1), now=db_now())
    assert set(less.slice_ids) < set(more.slice_ids)
    assert GpuHold.objects.filter(released_at=None).count() == 1
    assert QuotaUsage.objects.get(team=team, level="global", metric="gpu:h100-80gb").used == 1
    assert QuotaUsage.objects.get(team=team, level="global", metric="instances").used == 1
    none = swap(holder_id=holder, wanted=supply.wanted(), now=db_now())
    assert none.slice_ids == ()
    assert release(holder_id=holder)
    node.refresh_from_db()
    assert node.vcpus_used == 0


def test_swap_that_does_not_fit_changes_nothing() -> None:
    supply = make_supply(nodes=2, gpus=2)
    team, holder = TeamFactory().pk, new_id("ins")
    first = take(supply, supply.gpu_wanted(1), team=team, holder=holder)
    with pytest.raises(PoolExhausted), transaction.atomic():
        swap(holder_id=holder, wanted=supply.gpu_wanted(3), now=db_now())
    held = Reservation.objects.get(holder_id=holder)
    assert (held.gpus, held.pk) == (1, first.reservation_id)
    assert GpuHold.objects.filter(released_at=None).count() == 1
    with pytest.raises(NotFound):
        swap(holder_id=new_id("ins"), wanted=supply.wanted(), now=db_now())


def test_the_database_refuses_a_second_holder_and_overcommitment() -> None:
    supply = make_supply(nodes=1, gpus=1)
    placed = take(supply)
    other = Reservation.objects.get()
    with pytest.raises(IntegrityError, match="gpupools_one_live_hold_per_slice"), transaction.atomic():
        GpuHold.objects.create(slice_id=placed.slice_ids[0], reservation=other)
    for column, total in (("vcpus", 64), ("memory_mib", 512 * 1024), ("disk_gib", 8000)):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE nodes_node SET {column}_used = %s", [total + 1])
    with pytest.raises(Exception, match="Cannot delete"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM gpupools_gpuhold")


@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_of_64_at_once_exactly_8_get_the_8_gpus() -> None:
    supply = make_supply(nodes=2, gpus=4)
    team = TeamFactory().pk
    won: list[Placed] = []
    refused: list[PoolExhausted] = []
    others: list[BaseException] = []
    ready = threading.Barrier(64)

    def ask() -> None:
        try:
            with connection.cursor() as cursor:  # a slow machine is no reason to fail
                cursor.execute("SET lock_timeout = '300s'; SET statement_timeout = '300s'")
            ready.wait(timeout=300)
            won.append(take(supply, team=team))
        except PoolExhausted as refusal:
            refused.append(refusal)
        except BaseException as error:  # noqa: BLE001 - whatever else it is must be seen
            others.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _each in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=380)
    assert others == []
    assert (len(won), len(refused)) == (8, 56)
    assert len({one.slice_ids for one in won}) == 8
    assert GpuHold.objects.filter(released_at=None).count() == 8
    assert sum(Node.objects.values_list("vcpus_used", flat=True)) == 16
    assert QuotaUsage.objects.get(team=team, level="global", metric="instances").used == 8
