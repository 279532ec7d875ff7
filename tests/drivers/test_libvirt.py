"""What only a real hypervisor can answer."""

import os
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.drivers.base import ImageRef, Power
from apps.drivers.errors import Rejected, Transient
from apps.drivers.libvirt import probe
from apps.drivers.registry import driver_for
from runner import libvirt, paths, services
from tests.drivers.lab import WELCOME, wait_for

WORLD, NEIGHBOUR = "203.0.113.7", "10.254.253.7"  # the first stands for the internet (RFC 5737)
pytestmark = [pytest.mark.serial, pytest.mark.timeout(600)]


def test_a_login_works_with_the_host_key_we_were_told(libvirt_lab):
    libvirt_lab.booted()
    assert libvirt_lab.run("hostname && whoami").split() == ["box", "alice"]
    assert libvirt_lab.run("cat /etc/welcome") == WELCOME


def test_a_write_after_a_snapshot_is_undone_by_it(libvirt_lab):
    lab, driver = libvirt_lab, libvirt_lab.driver
    lab.booted()
    lab.run("echo before > note && sync")
    driver.create_snapshot(lab.shared, "snp_note")
    lab.run("echo after > note && sync")
    driver.stop(lab.shared, force=True)
    lab.wait_power(Power.STOPPED)
    driver.restore_snapshot(lab.shared, "snp_note")
    driver.delete_snapshot(lab.shared, "snp_note")
    driver.start(lab.shared)
    lab.wait_booted()
    assert lab.run("cat note") == "before"


def test_a_guest_fills_its_disk_and_cannot_open_connections_to_the_host(libvirt_lab, hypervisor):
    lab = libvirt_lab
    lab.booted()
    kib = int(lab.run("df -k / | tail -n 1").split()[1])
    assert kib > 800_000 * lab.observe().disk_gib
    assert lab.run(
        "timeout 5 nc -w 3 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p') 22 || echo refused"
    ) == ("refused")


@contextmanager
def everywhere(hypervisor, addresses):
    """A door at those addresses of the machine; gives its port and a list of those who came."""
    callers = []

    class Door(socketserver.BaseRequestHandler):
        def handle(self):
            callers.append(self.client_address[0])
            self.request.sendall(b"come in")

    for address in addresses:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", hypervisor.interface], check=True)
    try:
        with socketserver.TCPServer(("", 0), Door) as server:
            threading.Thread(target=server.serve_forever).start()
            yield server.server_address[1], callers
            server.shutdown()
    finally:
        for address in addresses:
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", hypervisor.interface], check=True)


def test_a_guest_reaches_the_world_under_one_address_but_no_private_network(libvirt_lab, hypervisor):
    lab = libvirt_lab
    lab.booted()
    with everywhere(hypervisor, [WORLD, NEIGHBOUR]) as (port, callers):
        assert lab.run(f"timeout 30 nc -w 20 {WORLD} {port} </dev/null || echo refused") == "come in"
        assert callers
        assert lab.observe().address not in callers
        assert lab.run(f"timeout 30 nc -w 20 {NEIGHBOUR} {port} </dev/null || echo refused") == "refused"


def test_deletion_leaves_no_file(libvirt_lab):
    lab, name = libvirt_lab, "hai-ins_files"
    lab.driver.create(lab.spec(name))
    assert any(name in path for path in lab.files())
    lab.driver.delete(name)
    assert lab.driver.observe(name) is None
    assert not any(name in path for path in lab.files())


def test_disks_without_a_machine_are_seen_listed_and_removed(libvirt_lab):
    lab, name = libvirt_lab, "hai-ins_half"
    lab.driver.storage.prepare(lab.spec(name))
    seen = lab.driver.observe(name)
    assert (seen.power, seen.resource_id) == (Power.PARTIAL, "ins_half")
    assert name in {machine.name for machine in lab.driver.list_machines().machines}

    lab.driver.create(lab.spec(name))
    created = lab.driver.observe(name)
    assert (created.power, created.host_key) == (Power.RUNNING, seen.host_key)
    lab.driver.delete(name)
    assert lab.driver.observe(name) is None


def test_a_size_no_host_has_is_refused_and_leaves_no_machine(libvirt_lab):
    lab, name = libvirt_lab, "hai-ins_huge"
    with pytest.raises(Rejected):
        lab.driver.create(lab.spec(name, image=ImageRef("tiny", "sha256:" + "0" * 64, lab.image.source)))
    assert lab.driver.client.find(name) is None
    lab.driver.delete(name)
    assert lab.driver.observe(name) is None


def test_machines_live_on_when_the_daemon_is_started_anew(libvirt_lab, hypervisor):
    lab = libvirt_lab
    lab.booted()
    boot = lab.boot_id()
    hypervisor.restart_daemon()

    def observed():
        try:
            return lab.driver.observe(lab.shared)
        except Transient:
            return None

    wait_for(observed, until=lambda seen: seen is not None and seen.booted, what="seen again")
    assert lab.boot_id() == boot


def test_a_daemon_that_is_not_there_is_transient(tmp_path):
    pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    config = {"uri": f"qemu+unix:///system?socket={tmp_path}/none", "storage_dir": str(tmp_path)}
    driver = driver_for("libvirt", config)
    with pytest.raises(Transient) as caught:
        driver.list_machines()
    assert caught.value.detail != str(caught.value)


def test_the_boot_probe_runs_code(hypervisor):
    assert probe.boots("tcg")


def test_two_hypervisors_live_side_by_side_and_end_with_their_namespace(hypervisor):
    folder = Path(tempfile.mkdtemp(prefix="libvirt-", dir=paths.scratch()))
    services.mark_as_mine(folder)
    second = libvirt.Hypervisor(folder)
    try:
        second.start(dies_by_us=True)
        pytest.importorskip("libvirt", reason="libvirt-python is not installed")
        driver = driver_for("libvirt", second.config())
        assert driver.check().version
        driver.close()
        os.kill(int((folder / libvirt.RECORD).read_text().split()[0]), signal.SIGKILL)
        wait_for(second.has_interface, until=lambda has: not has, what="the interface goes")
        second.start(dies_by_us=True, lock_seconds=0)
    finally:
        second.stop()
        shutil.rmtree(folder, ignore_errors=True)
    assert not second.has_interface()
    assert hypervisor.has_interface()
