"""The documents that a libvirt host and a guest are given; no hypervisor needed."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from apps.drivers.base import ImageRef, MachineSpec, Power, fingerprint
from apps.drivers.errors import Rejected
from apps.drivers.libvirt import documents, mapping, probe, seed
from apps.drivers.libvirt.documents import Setting, Tag

TAG = Tag("inst", "ins_1", 7, "ssh-ed25519 AAAA")
SPEC = MachineSpec(
    name="hai-ins_1", installation="inst", resource_id="ins_1", fence=7, vcpus=4, memory_mib=8192,
    disk_gib=20, image=ImageRef("debian"), hostname="box", user="alice", ssh_keys=("ssh-ed25519 KEY",),
)  # fmt: skip


def setting(virt_type="qemu", **more):
    return Setting(virt_type, "default", Path("/s/root.qcow2"), Path("/s/seed.iso"), **more)


def domain(spec=SPEC, virt_type="qemu", **more):
    return ET.fromstring(documents.domain_xml(spec, setting(virt_type, **more), TAG))


def spec(**changes):
    fields = {name: getattr(SPEC, name) for name in SPEC.__slots__}
    return MachineSpec(**(fields | changes))


def test_the_size_and_the_tag_are_in_the_document():
    found = domain()
    assert (found.findtext("vcpu"), found.findtext("memory")) == ("4", "8192")
    element = found.find(f"metadata/{{{documents.TAG_URI}}}machine")
    assert documents.read_tag(ET.tostring(element, encoding="unicode")) == TAG


def test_a_tag_survives_a_round_trip_without_name_space():
    assert documents.read_tag(documents.tag_xml(TAG)) == TAG


def test_disks_name_their_formats_and_the_seed_is_read_only():
    disks = domain().findall("devices/disk")
    assert [disk.find("driver").get("type") for disk in disks] == ["qcow2", "raw"]
    assert disks[1].find("readonly") is not None


def test_guests_of_one_bridge_are_kept_apart():
    assert domain().find("devices/interface/port").get("isolated") == "yes"


def test_addresses_on_the_wire_are_stable_local_and_differ():
    first, again, other = (documents.mac_address(s) for s in (SPEC, SPEC, spec(name="hai-ins_2")))
    assert first == again != other
    assert int(first.split(":")[0], 16) & 0b11 == 0b10


@pytest.mark.parametrize(
    ("virt_type", "mode"), [("kvm", "host-passthrough"), ("qemu", "maximum"), ("xen", None)]
)
def test_the_processor_follows_what_runs_the_machine(virt_type, mode):
    cpu = domain(virt_type=virt_type).find("cpu")
    assert (cpu.get("mode") if cpu is not None else None) == mode


def test_an_operator_may_choose_the_processor():
    assert domain(virt_type="kvm", cpu_mode="host-model").find("cpu").get("mode") == "host-model"
    assert domain(cpu_mode="hypervisor-default").find("cpu") is None


def test_xen_machines_have_xen_disks_and_no_virtio():
    text = documents.domain_xml(SPEC, setting("xen"), TAG)
    found = ET.fromstring(text)
    assert found.get("type") == "xen"
    assert [disk.find("target").get("dev") for disk in found.findall("devices/disk")] == ["xvda", "xvdb"]
    assert "virtio" not in text


def test_whole_gpus_are_passed_through_and_read_back():
    wanted = ("0000:65:00.0", "0001:0a:1f.7")
    text = documents.domain_xml(spec(pci_addresses=wanted), setting("kvm"), TAG)
    found = ET.fromstring(text).findall("devices/hostdev")
    assert [hostdev.get("managed") for hostdev in found] == ["yes", "yes"]
    assert found[1].find("source/address").attrib == {
        "domain": "0x0001", "bus": "0x0a", "slot": "0x1f", "function": "0x7",
    }  # fmt: skip
    assert documents.pci_addresses(text) == wanted


def test_shared_gpus_are_mediated_devices():
    name = "c2177883-f1bb-47f0-914d-32a22e3a8804"
    hostdev = domain(spec(mdev_uuids=(name,)), "kvm").find("devices/hostdev")
    assert (hostdev.get("type"), hostdev.find("source/address").get("uuid")) == ("mdev", name)
    with pytest.raises(Rejected):
        documents.domain_xml(spec(mdev_uuids=(name,)), setting("xen"), TAG)


@pytest.mark.parametrize("text", ["", "65:00.0", "0000:65:00", "0000:xx:00.0", "0000:65:00.0'/>"])
def test_a_bad_gpu_address_is_refused(text):
    with pytest.raises(Rejected):
        domain(spec(pci_addresses=(text,)))


def test_text_from_outside_stays_text():
    evil = Tag("</machine><x/>", "\"'<&>", 1, "")
    text = documents.domain_xml(SPEC, setting(), evil)
    element = ET.fromstring(text).find(f"metadata/{{{documents.TAG_URI}}}machine")
    assert documents.read_tag(ET.tostring(element, encoding="unicode")) == evil


def test_resizing_changes_the_numbers_and_nothing_else():
    before = documents.domain_xml(SPEC, setting(), TAG)
    after = documents.resized_xml(before, vcpus=8, memory_mib=4096)
    expected = domain(spec(vcpus=8, memory_mib=4096))
    assert ET.canonicalize(after) == ET.canonicalize(ET.tostring(expected, encoding="unicode"))


def test_the_first_boot_knows_user_keys_and_host_key():
    private, public = seed.new_host_key()
    found = seed.user_data(SPEC, private, public)
    assert found["users"][0]["name"] == "alice"
    assert found["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 KEY"]
    assert found["ssh_keys"] == {"ed25519_private": private, "ed25519_public": public}
    assert fingerprint(public).startswith("SHA256:")
    assert seed.meta_data(SPEC) == {"instance-id": "ins_1", "local-hostname": "box"}


def test_the_customers_data_cannot_replace_ours():
    given = {
        "users": [{"name": "bob"}],
        "ssh_keys": {},
        "hostname": "evil",
        "ssh_pwauth": True,
        "packages": ["vim"],
    }
    found = seed.user_data(spec(user_data=given), "private", "public")
    assert [user["name"] for user in found["users"]] == ["alice", "bob"]
    assert (found["hostname"], found["ssh_pwauth"], found["packages"]) == ("box", False, ["vim"])
    assert found["ssh_keys"]["ed25519_public"] == "public"
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("name", ["-box", "box.example", "a" * 64, "box\nruncmd: []", "bo x"])
def test_a_bad_host_name_is_refused(name):
    with pytest.raises(Rejected):
        seed.hostname_of(spec(hostname=name))


@pytest.mark.parametrize("name", ["", "Alice", "0day", "a b", "x" * 33])
def test_a_bad_user_name_is_refused(name):
    with pytest.raises(Rejected):
        seed.user_data(spec(user=name), "private", "public")


def test_every_state_of_a_domain_has_a_meaning():
    assert [mapping.power_of(state) for state in (1, 2, 5, 6)] == [
        Power.RUNNING, Power.RUNNING, Power.STOPPED, Power.STOPPED,
    ]  # fmt: skip
    assert {mapping.power_of(state) for state in (0, 3, 4, 7, 99)} == {Power.CHANGING}
    assert mapping.failure_of(mapping.RUNNING, 1) == ""
    assert "crashed" in mapping.failure_of(mapping.SHUTOFF, mapping.OFF_CRASHED)
    assert "disk" in mapping.failure_of(mapping.PAUSED, mapping.PAUSED_BY_DISK)


def test_statistics_are_added_up():
    found = mapping.counters_of({
        "cpu.time": 5, "net.count": 2, "net.0.rx.bytes": 1, "net.1.rx.bytes": 2, "net.0.tx.bytes": 4,
        "block.0.rd.bytes": 8, "block.1.rd.bytes": 16, "block.0.wr.bytes": 32, "block.0.name": "vda",
        "balloon.current": 262144, "balloon.available": 200000, "balloon.usable": 97600,
        "balloon.rss": 999999,
    })  # fmt: skip
    assert (found.cpu_ns, found.net_rx_bytes, found.net_tx_bytes) == (5, 3, 4)
    assert (found.disk_read_bytes, found.disk_write_bytes) == (24, 32)
    assert (found.memory_used_mib, found.memory_total_mib) == (100, 256)


def test_gpus_are_told_from_other_devices():
    text = """<device><capability type='pci'><class>{0}</class><domain>0</domain><bus>101</bus><slot>0</slot>
      <function>0</function><product id='0x2330'>GH100 [H100]</product><vendor id='{1}'>v</vendor>
      <numa node='1'/></capability></device>"""
    gpu = mapping.gpu_of(text.format("0x030200", "0x10de"), "host-1")
    assert (gpu.vendor, gpu.model, gpu.pci_address, gpu.numa_node) == (
        "nvidia",
        "GH100 [H100]",
        "0000:65:00.0",
        1,
    )
    assert mapping.gpu_of(text.format("0x020000", "0x10de"), "host-1") is None
    assert mapping.gpu_of(text.format("0x030000", "0x1234"), "host-1") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [("flags\t\t: fpu vmx sse", True), ("flags : svm", True), ("flags : fpu vmxx", False), ("", False)],
)
def test_virtualisation_is_read_from_the_processors_flags(text, answer):
    assert probe.has_virtualisation(text) is answer
