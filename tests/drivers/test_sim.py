"""What only a simulated cloud can do: fail on request, and show what is really there."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from apps.drivers.base import Health, ImageRef, MachineSpec, Power
from apps.drivers.errors import BadCredentials, NoCapacity, Rejected, Transient
from apps.drivers.registry import driver_for
from apps.drivers.sim.world import Fault

NODES = [
    {
        "prefix": "gpu",
        "count": 2,
        "vcpus": 8,
        "memory_gib": 32,
        "disk_gib": 100,
        "gpus": 2,
        "gpu_model": "H100",
    }
]


def config(folder, **more):
    times = {"boot_seconds": 10, "stop_seconds": 5, "delete_seconds": 2}
    return {"path": str(folder / "world.sqlite"), "nodes": NODES} | times | more


def spec(name, **wishes):
    usual = {
        "installation": "i",
        "resource_id": name,
        "fence": 1,
        "vcpus": 2,
        "memory_mib": 1024,
        "disk_gib": 10,
    }
    return MachineSpec(**({"name": name, "image": ImageRef("any")} | usual | wishes))


@pytest.fixture
def driver(tmp_path):
    driver = driver_for("sim", config(tmp_path))
    driver.world.freeze()
    yield driver
    driver.close()


@pytest.fixture
def world(driver):
    return driver.world


def test_boot_stop_and_removal_take_virtual_time(driver, world):
    driver.create(spec("a"))
    assert (driver.observe("a").power, driver.observe("a").booted) == (Power.RUNNING, False)
    world.advance(10)
    assert driver.observe("a").booted

    driver.stop("a")
    assert driver.observe("a").power is Power.CHANGING
    world.advance(5)
    assert driver.observe("a").power is Power.STOPPED

    driver.delete("a")
    assert driver.observe("a").power is Power.CHANGING
    with pytest.raises(Transient):
        driver.create(spec("a"))
    world.advance(2)
    assert driver.observe("a") is None
    assert world.machine_names() == []
    driver.create(spec("a"))
    assert world.effect_count("create", "a") == 2


def test_a_lost_reply_has_its_effect(driver, world):
    world.inject(Fault.LOST_REPLY, method="create")
    with pytest.raises(Transient):
        driver.create(spec("a"))
    assert world.machine_names() == ["a"]
    driver.create(spec("a"))
    assert world.effect_count("create") == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("transient", Transient),
        ("no_capacity", NoCapacity),
        ("rejected", Rejected),
        ("bad_credentials", BadCredentials),
    ],
)
def test_a_refusal_has_no_effect(driver, world, error, expected):
    world.inject(Fault.REFUSED, method="create", error=error, message="Not today.")
    with pytest.raises(expected, match="Not today"):
        driver.create(spec("a"))
    assert world.machine_names() == []
    driver.create(spec("a"))


def test_faults_choose_their_calls(driver, world):
    driver.create(spec("a"))
    driver.create(spec("b"))
    world.inject(Fault.REFUSED, method="obs*", machine="b", times=2, skip=1)
    driver.observe("a")
    driver.observe("b")
    for _ in range(2):
        with pytest.raises(Transient):
            driver.observe("b")
    driver.observe("b")


def test_an_outage_lasts_until_it_is_cleared(driver, world):
    fault = world.inject(Fault.OUTAGE, times=None)
    for call in (driver.check, driver.list_machines, driver.inventory):
        with pytest.raises(Transient):
            call()
    world.clear(fault)
    assert driver.check().version


def test_listings_can_be_stale_partial_or_empty(driver, world):
    driver.create(spec("a"))
    world.advance(60)
    driver.create(spec("b"))
    driver.delete("a")
    world.advance(60)

    def names():
        return [machine.name for machine in driver.list_machines().machines]

    assert names() == ["b"]
    world.inject(Fault.STALE_LIST, seconds=90)
    assert names() == ["a"]
    world.inject(Fault.EMPTY_LIST)
    assert names() == []
    world.inject(Fault.PARTIAL_LIST)
    assert not driver.list_machines().is_complete


def test_a_boot_may_never_end(driver, world):
    world.inject(Fault.BOOT_FAILURE, method="create")
    driver.create(spec("a"))
    world.advance(10_000)
    assert (driver.observe("a").power, driver.observe("a").booted) == (Power.RUNNING, False)


def test_a_machine_may_be_taken_back_or_crash(driver, world):
    driver.create(spec("a"))
    world.reclaim("a")
    seen = driver.observe("a")
    assert (seen.power, seen.reclaimed) == (Power.STOPPED, True)
    assert seen.failure
    driver.start("a")
    assert not driver.observe("a").reclaimed
    world.crash("a", "Kernel panic.")
    assert driver.observe("a").failure == "Kernel panic."


def test_a_failed_node_cannot_be_asked_about_its_machines(driver, world):
    driver.create(spec("a", node="gpu-01"))
    world.advance(10)
    world.set_node_health("gpu-01", Health.FAILED)
    assert driver.observe("a").power is Power.CHANGING
    with pytest.raises(Transient):
        driver.create(spec("b", node="gpu-01"))
    assert [node.health for node in driver.inventory().nodes] == [Health.FAILED, Health.HEALTHY]
    world.set_node_health("gpu-01", Health.HEALTHY)
    assert driver.observe("a").booted


def test_room_is_bounded_and_comes_back(driver, world):
    for number in range(8):
        driver.create(spec(f"m{number}"))
    with pytest.raises(NoCapacity):
        driver.create(spec("one-more"))
    driver.resize("m0", vcpus=1, memory_mib=1024, disk_gib=10)
    with pytest.raises(NoCapacity):  # m0 still runs with what it had
        driver.create(spec("one-more", vcpus=1))
    driver.stop("m0", force=True)
    driver.start("m0")
    driver.create(spec("one-more", vcpus=1))
    for name in [f"m{number}" for number in range(8)]:
        driver.delete(name)
    world.advance(2)
    driver.create(spec("big", vcpus=8))
    with pytest.raises(NoCapacity):
        driver.resize("big", vcpus=9, memory_mib=1024, disk_gib=10)
    assert driver.observe("big").vcpus == 8


def test_a_gpu_has_one_holder_until_its_machine_is_gone(driver, world):
    node = driver.inventory().nodes[0]
    address = node.gpus[0].pci_address
    driver.create(spec("a", node=node.name, pci_addresses=(address,)))
    assert driver.observe("a").pci_addresses == (address,)
    with pytest.raises(NoCapacity):
        driver.create(spec("b", node=node.name, pci_addresses=(address,)))
    assert world.machine_names() == ["a"]
    driver.delete("a")
    with pytest.raises(NoCapacity):
        driver.create(spec("b", node=node.name, pci_addresses=(address,)))
    world.advance(2)
    driver.create(spec("b", node=node.name, pci_addresses=(address,)))
    assert world.gpu_holders() == {(node.name, address): "b"}


def test_the_same_seed_makes_the_same_world(tmp_path):
    def gpus(folder, seed):
        folder.mkdir()
        driver = driver_for("sim", config(folder, seed=seed))
        found = [gpu.uuid for node in driver.inventory().nodes for gpu in node.gpus]
        driver.close()
        return found

    first, again, other = gpus(tmp_path / "1", 1), gpus(tmp_path / "2", 1), gpus(tmp_path / "3", 2)
    assert first == again != other
    assert len(set(first)) == 4


def test_worlds_in_one_file_are_apart(driver, tmp_path):
    other = driver_for("sim", config(tmp_path, world="other"))
    driver.create(spec("a"))
    assert other.observe("a") is None
    assert other.list_machines().machines == ()
    other.close()


def test_the_console_ends_with_its_machine(driver):
    driver.create(spec("a", hostname="box"))
    console = driver.open_console("a")
    assert b"box" in console.read(0)
    console.write(b"whoami\r")
    assert b"user" in console.read(0)
    assert console.read(0) == b""
    driver.stop("a", force=True)
    assert console.read(0) is None
    with pytest.raises(Rejected):
        driver.open_console("a")


def _create_many(arguments):
    """Runs in a process of its own."""
    settings, number = arguments
    driver = driver_for("sim", settings)
    won = 0
    for index in range(8):
        try:
            driver.create(spec(f"m{number}-{index}"))
        except NoCapacity:
            continue
        won += 1
    driver.close()
    return won


def test_processes_share_one_world_without_overselling(tmp_path):
    settings = config(tmp_path)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        won = sum(pool.map(_create_many, [(settings, number) for number in range(3)]))
    driver = driver_for("sim", settings)
    assert won == 8 == len(driver.world.machine_names())
    driver.close()
