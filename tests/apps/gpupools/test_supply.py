"""The demonstration's supply comes up whole, from the simulator's own report."""

from pathlib import Path

import pytest

from apps.core.actor import SYSTEM, Actor
from apps.core.errors import NotPermitted
from apps.gpupools import selectors
from apps.gpupools.models import GpuDevice, GpuPool, GpuSlice
from apps.gpupools.reconcilers import build_supply
from apps.nodes.models import Node
from apps.regions.models import Region
from tests.factories.teams import TeamFactory, actor_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> list[Region]:
    return build_supply(actor=SYSTEM, world_path=str(tmp_path / "world.sqlite"))


def test_demonstration_supply_is_ready_to_sell(world: list[Region], tmp_path: Path) -> None:
    assert len(world) == 3
    assert set(Node.objects.values_list("state", "health")) == {("ready", "healthy")}
    assert 45 <= Node.objects.count() <= 60
    assert 300 <= GpuDevice.objects.count() <= 400
    assert not GpuDevice.objects.filter(pool=None).exists()
    shared = GpuPool.objects.get(sharing_ratio__gt=1)
    assert GpuSlice.objects.filter(device__pool=shared).count() == 4 * shared.devices.count()
    again = build_supply(actor=SYSTEM, world_path=str(tmp_path / "world.sqlite"))
    assert [one.pk for one in again] == [one.pk for one in world]


def test_offers_say_what_can_be_launched_now(world: list[Region], django_assert_max_num_queries) -> None:
    team = TeamFactory()
    actor = actor_of(team)
    with django_assert_max_num_queries(6):
        offers = {one.type.slug: one for one in selectors.offers(actor=actor, team=team)}
    assert offers["h100-80gb-8"].room == 13
    assert offers["h100-80gb-8"].product == "type:h100-80gb-8"
    assert offers["h100-80gb-1"].room == 13 * 8
    assert all(one.is_launchable for one in offers.values())
    with pytest.raises(NotPermitted):
        selectors.offers(actor=Actor("nobody"), team=team)
