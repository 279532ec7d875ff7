"""Placement, without a database: every reason, every preference, and what always holds."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.gpupools.placement import choose_slices, count_room, nearest, plan
from apps.gpupools.specs import FreeSlice, NodeView, PoolOnNode, Snapshot, Wanted

POOL = PoolOnNode("p", "h100", None, "passthrough", "binpack", is_open=True, free=8, cards=8)
NODE = NodeView(
    id="n", name="n", cluster_id="c", zone_id="z", kind="sim", state="ready", health="healthy",
    is_cluster_open=True, vcpus=64, memory_mib=1000, disk_gib=1000, vcpus_left=64, memory_mib_left=1000,
    disk_gib_left=1000, has_gpus=True, group_ids=frozenset({"g"}), pools=(POOL,),
)  # fmt: skip
WANTED = Wanted("r", vcpus=8, memory_mib=100, disk_gib=100, gpu_model_id="h100", gpus=2)


def region(*nodes: NodeView, **fields: bool) -> Snapshot:
    return Snapshot("r", **{"is_open": True, "is_frozen": False, **fields}, nodes=nodes)


def with_pool(node: NodeView = NODE, **changes: object) -> NodeView:
    return replace(node, pools=(replace(node.pools[0], **changes),))


@pytest.mark.parametrize(
    ("reason", "node", "wish"),
    [
        ("wrong_kind", NODE, {"cluster_kinds": ("libvirt",)}),
        ("cluster_paused", replace(NODE, is_cluster_open=False), {}),
        ("other_zone", NODE, {"zone_id": "y"}),
        ("other_group", NODE, {"group_id": "h"}),
        ("no_such_gpu", NODE, {"gpu_model_id": "a100"}),
        ("pool_not_open", with_pool(is_open=False), {}),
        ("pool_not_open", with_pool(team_id="other"), {}),
        ("pool_not_open", NODE, {"pool_id": "q"}),
        ("pool_not_open", NODE, {"isolation": "mig"}),
        ("too_few_gpus", with_pool(free=1), {}),
        ("not_ready", replace(NODE, state="cordoned"), {}),
        ("not_healthy", replace(NODE, health="suspect"), {}),
        ("too_few_vcpus", replace(NODE, vcpus_left=7), {}),
        ("too_little_memory", replace(NODE, memory_mib_left=99), {}),
        ("too_little_disk", replace(NODE, disk_gib_left=99), {}),
    ],
)
def test_each_reason_is_named(reason: str, node: NodeView, wish: dict[str, object]) -> None:
    found = plan(region(node), replace(WANTED, **wish), "t")
    assert (found.candidates, found.rejected) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("fields", "reason"), [({"is_open": False}, "region_closed"), ({"is_frozen": True}, "region_frozen")]
)
def test_a_region_out_of_service_rejects_all_its_nodes(fields: dict[str, bool], reason: str) -> None:
    found = plan(region(NODE, replace(NODE, id="m"), **fields), WANTED, "t")
    assert found.rejected == {reason: 2}


def test_filling_up_prefers_the_fullest_and_spreading_the_emptiest() -> None:
    full, empty = with_pool(replace(NODE, id="full"), free=2), replace(NODE, id="empty")
    assert plan(region(empty, full), WANTED, "t").candidates[0].node.id == "full"
    nodes = [with_pool(one, packing="spread") for one in (empty, full)]
    assert plan(region(*nodes), WANTED, "t").candidates[0].node.id == "empty"


def test_the_teams_own_pool_comes_first() -> None:
    own = with_pool(replace(NODE, id="own"), team_id="t")
    full = with_pool(replace(NODE, id="full"), free=2)
    assert plan(region(full, own), WANTED, "t").candidates[0].node.id == "own"


def test_numa_nodes_are_kept_together_when_they_can_be() -> None:
    def card(name: str, numa: int, free: int = 1) -> FreeSlice:
        return FreeSlice(f"s{name}", name, f"0000:{name}:00.0", numa, free)

    free = [card("1", 0), card("2", 1), card("3", 1), card("4", 0), card("5", 0)]
    found = choose_slices(free, 2, packing="binpack")
    assert found is not None
    assert {one.device_id for one in found} == {"2", "3"}
    spread = choose_slices(free, 2, packing="spread")
    assert spread is not None
    assert {one.numa_node for one in spread} == {0}
    everywhere = choose_slices(free, 4, packing="binpack")
    assert everywhere is not None
    assert len(everywhere) == 4
    shared = [card("1", 0, free=3), card("2", 0, free=1)]
    assert [one.device_id for one in choose_slices(shared, 1, packing="binpack") or ()] == ["2"]
    assert [one.device_id for one in choose_slices(shared, 1, packing="spread") or ()] == ["1"]
    assert choose_slices([card("1", 0), card("1", 0)], 2, packing="binpack") is None


def test_nearest_takes_back_as_little_as_possible() -> None:
    here = region(with_pool(free=3), replace(NODE, id="m", state="cordoned"))
    assert nearest(here, replace(WANTED, gpus=4), "t") == replace(WANTED, gpus=3)
    assert nearest(here, replace(WANTED, zone_id="y"), "t") == WANTED
    assert nearest(here, replace(WANTED, vcpus=100), "t") == replace(WANTED, vcpus=64)
    assert nearest(here, replace(WANTED, gpu_model_id="none"), "t") is None
    assert nearest(region(NODE, is_frozen=True), WANTED, "t") is None


def test_room_counts_machines_one_after_the_other() -> None:
    nodes = region(NODE, with_pool(replace(NODE, id="m", vcpus_left=8)))
    assert count_room(plan(nodes, WANTED, "t"), WANTED) == 4 + 1
    assert count_room(plan(region(), WANTED, "t"), WANTED) == 0


nodes = st.builds(
    replace,
    st.just(NODE),
    id=st.uuids().map(str),
    state=st.sampled_from(["ready", "ready", "cordoned"]),
    health=st.sampled_from(["healthy", "healthy", "suspect"]),
    vcpus_left=st.integers(0, 64),
    memory_mib_left=st.integers(0, 1000),
    disk_gib_left=st.integers(0, 1000),
    pools=st.lists(
        st.builds(
            replace,
            st.just(POOL),
            pool_id=st.sampled_from("pq"),
            model_id=st.sampled_from(["h100", "a100"]),
            team_id=st.sampled_from([None, "t", "other"]),
            packing=st.sampled_from(["binpack", "spread"]),
            free=st.integers(0, 8),
        ),
        max_size=2,
        unique_by=lambda pool: pool.pool_id,
    ).map(tuple),
)
wishes = st.builds(
    replace,
    st.just(WANTED),
    vcpus=st.integers(1, 70),
    memory_mib=st.integers(1, 1100),
    disk_gib=st.integers(1, 1100),
    gpus=st.integers(0, 9),
    pool_id=st.sampled_from([None, "p"]),
    zone_id=st.sampled_from([None, "z", "y"]),
)


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(nodes, max_size=6), wishes)
def test_whatever_is_proposed_fits_and_every_node_is_accounted_for(
    fleet: list[NodeView], wanted: Wanted
) -> None:
    found = plan(region(*fleet), wanted, "t")
    for one in found.candidates:
        assert (one.node.state, one.node.health) == ("ready", "healthy")
        assert one.node.vcpus_left >= wanted.vcpus
        assert one.node.memory_mib_left >= wanted.memory_mib
        assert one.node.disk_gib_left >= wanted.disk_gib
        assert (one.pool is None) == (wanted.gpus == 0)
        if one.pool:
            assert one.pool.free >= wanted.gpus
            assert one.pool.team_id in (None, "t")
            assert one.pool.model_id == wanted.gpu_model_id
    proposed = {one.node.id for one in found.candidates}
    assert len(proposed) + sum(found.rejected.values()) == len(fleet)
    scores = [one.score for one in found.candidates]
    assert scores == sorted(scores, reverse=True)


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(nodes, max_size=5), wishes)
def test_what_is_called_nearest_passes(fleet: list[NodeView], wanted: Wanted) -> None:
    better = nearest(region(*fleet), wanted, "t")
    if better is not None:
        assert plan(region(*fleet), better, "t").candidates


def test_ten_thousand_gpus_are_planned_at_once() -> None:
    fleet = [with_pool(replace(NODE, id=f"n{i}", name=f"n{i:04}"), free=i % 9) for i in range(1250)]
    found = plan(region(*fleet), WANTED, "t")
    assert len(found.candidates) + found.rejected["too_few_gpus"] == 1250
    assert found.candidates[0].pool is not None
    assert found.candidates[0].pool.free == 2
