"""Pools take cards in, share them, and never take away what is held."""

import pytest
from django.db import IntegrityError, transaction

from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotPermitted
from apps.core.ids import new_id
from apps.gpupools.errors import SliceHeld
from apps.gpupools.models import GpuDevice, GpuHold, GpuPool, GpuSlice
from apps.gpupools.selectors.pools import fill_of, ratio_impact
from apps.gpupools.services import devices, pools
from apps.gpupools.services.reservations import release, reserve
from apps.gpupools.specs import PoolSpec
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory

pytestmark = pytest.mark.django_db


def spec(supply: Supply, **fields: object) -> PoolSpec:
    return PoolSpec(**{"slug": "new", "name": "New", "gpu_model_id": supply.model.pk, **fields})


def take(supply: Supply) -> str:
    holder = new_id("ins")
    reserve(holder_id=holder, team_id=TeamFactory().pk, wanted=supply.gpu_wanted(), now=db_now())
    return holder


def test_cards_move_between_pools_unless_somebody_holds_them() -> None:
    supply = make_supply(nodes=1, gpus=2)
    old = supply.pool
    holder = take(supply)
    cards = list(GpuDevice.objects.values_list("pk", flat=True))
    new = pools.create_pool(actor=SYSTEM, region=supply.region, spec=spec(supply))
    with pytest.raises(Conflict):
        pools.add_gpus(actor=SYSTEM, pool=new, device_ids=cards)
    with pytest.raises(SliceHeld):
        pools.remove_gpus(actor=SYSTEM, pool=old, device_ids=cards)
    release(holder_id=holder)
    assert pools.remove_gpus(actor=SYSTEM, pool=old, device_ids=cards) == 2
    assert not GpuSlice.objects.filter(is_offered=True).exists()
    assert pools.add_gpus(actor=SYSTEM, pool=new, device_ids=cards) == 2
    assert fill_of([new.pk])[new.pk].free == 2
    assert pools.move_pool(actor=SYSTEM, pool=old, event="retire").state == "retired"
    with pytest.raises(Conflict):
        pools.move_pool(actor=SYSTEM, pool=new, event="retire")


def test_the_ratio_moves_shares_nobody_holds_and_says_before_what_it_does() -> None:
    supply = make_supply(nodes=1, gpus=2, ratio=2)
    pool = supply.pool
    impact = ratio_impact(pool=pool, ratio=4)
    assert (impact.slots_before, impact.slots_after, impact.in_the_way) == (4, 8, 0)
    assert impact.memory_needed_gib == 704
    assert impact.nodes_short_of_memory == (supply.nodes[0].name,)
    pools.change_ratio(actor=SYSTEM, pool=pool, ratio=4)
    assert fill_of([pool.pk])[pool.pk].slots == 8
    holders = [take(supply) for _each in range(8)]
    with pytest.raises(SliceHeld):
        pools.change_ratio(actor=SYSTEM, pool=pool, ratio=1)
    top = GpuHold.objects.filter(slice__index__gte=1).values_list("reservation__holder_id", flat=True)
    for holder in set(top):
        release(holder_id=holder)
    pools.change_ratio(actor=SYSTEM, pool=pool, ratio=1)
    fill = fill_of([pool.pk])[pool.pk]
    assert (fill.slots, fill.held) == (2, 2)
    assert len(holders) == 8


def test_whole_cards_are_never_shared() -> None:
    supply = make_supply(nodes=1, gpus=1)
    with pytest.raises(Conflict):
        pools.change_ratio(actor=SYSTEM, pool=supply.pool, ratio=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        GpuPool.objects.update(sharing_ratio=2)
    for wrong in ({"sharing_ratio": 2}, {"time_quantum_s": 5}, {"isolation": "hope"}, {"slug": "A b"}):
        with pytest.raises(Invalid):
            pools.create_pool(actor=SYSTEM, region=supply.region, spec=spec(supply, **wrong))
    with pytest.raises(Conflict):
        pools.create_pool(actor=SYSTEM, region=supply.region, spec=spec(supply, slug=supply.pool.slug))
    with pytest.raises(NotPermitted):
        pools.create_pool(actor=Actor("nobody"), region=supply.region, spec=spec(supply))


def test_cards_of_another_region_or_kind_stay_out() -> None:
    supply, other = make_supply(nodes=1, gpus=1), make_supply(nodes=1, gpus=1)
    foreign = GpuDevice.objects.get(region=other.region)
    with pytest.raises(Invalid):
        pools.add_gpus(actor=SYSTEM, pool=supply.pool, device_ids=[foreign.pk])
    with pytest.raises(Invalid):
        pools.add_gpus(actor=SYSTEM, pool=supply.pool, device_ids=[new_id("gpu")])


def test_an_isolated_card_comes_back() -> None:
    supply = make_supply(nodes=1, gpus=1)
    card = GpuDevice.objects.get()
    assert devices.isolate_device(actor=SYSTEM, device=card, isolated=True).is_isolated
    devices.isolate_device(actor=SYSTEM, device=card, isolated=False)
    assert take(supply)
