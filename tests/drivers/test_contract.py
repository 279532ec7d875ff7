"""What every driver promises, asked of every driver. Tests share one machine and heal it first if need be."""

from dataclasses import replace

import pytest

from apps.drivers.base import Power
from apps.drivers.errors import Rejected
from tests.drivers.lab import INSTALLATION, read_until, wait_for


def names_in(listing):
    assert listing.is_complete
    return {machine.name for machine in listing.machines}


def lasting(seen):
    """What does not hang on whether the SSH server answered within the moment that the driver gives it."""
    return replace(seen, booted=False)


def test_the_endpoint_says_what_it_is(driver):
    checked = driver.check()
    assert checked.version
    assert checked.detail


def test_what_was_never_made_is_absent_and_may_be_deleted(driver):
    assert driver.observe("hai-never") is None
    driver.delete("hai-never")
    assert "hai-never" not in names_in(driver.list_machines())


def test_what_was_never_made_cannot_be_worked_on(driver):
    for call in (driver.stop, driver.start, driver.reboot, driver.counters, driver.open_console):
        with pytest.raises(Rejected):
            call("hai-never")


def test_a_machine_boots_and_says_who_it_is(lab):
    seen = lab.booted()
    assert seen.power is Power.RUNNING
    assert (seen.installation, seen.resource_id) == (INSTALLATION, "ins_contract")
    assert seen.address
    assert seen.fingerprint.startswith("SHA256:")
    assert seen.vcpus >= 1
    assert seen.disk_gib >= 1


def test_creating_twice_is_creating_once(lab, driver):
    before = lab.booted()
    driver.create(lab.spec(lab.shared, fence=before.fence + 1, memory_mib=300))
    after = driver.observe(lab.shared)
    assert lasting(after) == replace(lasting(before), fence=before.fence + 1)
    assert [machine.name for machine in driver.list_machines().machines].count(lab.shared) == 1


def test_an_older_fence_changes_nothing(lab, driver):
    before = lab.booted()
    driver.create(lab.spec(lab.shared, fence=0))
    assert lasting(driver.observe(lab.shared)) == lasting(before)


def test_the_console_answers(lab, driver):
    lab.booted()
    with driver.open_console(lab.shared) as console:
        console.write(b"\r")
        read_until(console, b"alice@box")
        console.write(
            b"echo over-$((1+1))-there || true\r" if lab.driver.kind != "sim" else b"echo over-2-there\r"
        )
        read_until(console, b"over-2-there")


def test_counters_increase(lab, driver):
    lab.booted()
    first = driver.counters(lab.shared)
    assert first.memory_total_mib > 0
    wait_for(
        lambda: driver.counters(lab.shared),
        until=lambda now: now.cpu_ns > first.cpu_ns and now.disk_read_bytes >= first.disk_read_bytes,
        what="cpu time goes on",
    )


def test_a_stopped_machine_starts_with_its_new_size(lab, driver):
    before = lab.booted()
    boot = lab.boot_id()
    size = {"vcpus": 3 - before.vcpus, "memory_mib": 320, "disk_gib": before.disk_gib + 1}
    driver.resize(lab.shared, **size)
    driver.resize(lab.shared, **size)
    running = lab.observe()
    assert (running.vcpus, running.disk_gib) == (before.vcpus, size["disk_gib"])

    assert not lab.shut_down().booted
    assert driver.counters(lab.shared) is None
    driver.stop(lab.shared)
    driver.stop(lab.shared, force=True)

    driver.start(lab.shared)
    driver.start(lab.shared)
    after = lab.wait_booted()
    assert {"vcpus": after.vcpus, "memory_mib": after.memory_mib, "disk_gib": after.disk_gib} == size
    assert after.host_key == before.host_key
    assert lab.boot_id() != boot


def test_a_disk_never_shrinks(lab, driver):
    before = lab.booted()
    with pytest.raises(Rejected):
        driver.resize(lab.shared, vcpus=1, memory_mib=256, disk_gib=before.disk_gib - 1)
    assert lasting(driver.observe(lab.shared)) == lasting(before)


def test_a_reboot_comes_back(lab, driver):
    lab.booted()
    boot = lab.boot_id()
    driver.reboot(lab.shared)
    wait_for(lab.boot_id, until=lambda now: now != boot, what="another boot")
    assert lab.wait_booted().power is Power.RUNNING


def test_a_snapshot_brings_the_disk_back(lab, driver):
    lab.booted()
    for name in ("snp_1", "snp_2"):
        driver.delete_snapshot(lab.shared, name)
    driver.create_snapshot(lab.shared, "snp_1")
    driver.create_snapshot(lab.shared, "snp_1")
    assert [snapshot.name for snapshot in driver.list_snapshots(lab.shared)] == ["snp_1"]
    with pytest.raises(Rejected):
        driver.restore_snapshot(lab.shared, "snp_1")

    driver.stop(lab.shared, force=True)
    lab.wait_power(Power.STOPPED)
    driver.create_snapshot(lab.shared, "snp_2")
    with pytest.raises(Rejected):
        driver.restore_snapshot(lab.shared, "snp_never")
    driver.restore_snapshot(lab.shared, "snp_1")
    assert lab.observe().power is Power.STOPPED
    for name in ("snp_1", "snp_2", "snp_2"):
        driver.delete_snapshot(lab.shared, name)
    assert driver.list_snapshots(lab.shared) == ()


def test_what_is_deleted_is_gone_altogether(lab, driver):
    name = "hai-ins_short"
    driver.create(lab.spec(name))
    assert name in names_in(driver.list_machines())
    driver.delete(name)
    driver.delete(name)
    lab.wait_gone(name)
    assert name not in names_in(driver.list_machines())


def test_a_listing_shows_the_machines_of_every_installation(lab, driver):
    name = "hai-ins_other"
    driver.create(lab.spec(name, installation="another", fence=7))
    try:
        found = {machine.name: machine for machine in driver.list_machines().machines}
        assert (found[name].installation, found[name].resource_id, found[name].fence) == (
            "another",
            "ins_other",
            7,
        )
    finally:
        driver.delete(name)
    lab.wait_gone(name)


def test_the_machines_of_others_are_not_ours(lab, driver):
    name = "hai-foreign"
    lab.plant_foreign(name)
    try:
        assert name not in names_in(driver.list_machines())
        for call in (driver.delete, driver.stop, driver.start):
            with pytest.raises(Rejected):
                call(name)
        with pytest.raises(Rejected):
            driver.create(lab.spec(name))
        assert driver.observe(name) is not None
    finally:
        lab.remove_foreign(name)


def test_the_inventory_names_hosts(driver):
    inventory = driver.inventory()
    assert inventory.is_complete
    assert all(node.vcpus > 0 and node.memory_mib > 0 and node.disk_gib > 0 for node in inventory.nodes)
    assert inventory.nodes
