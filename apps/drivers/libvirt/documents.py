"""The XML that libvirt is given; built as a tree and dumped, never written as text."""

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from apps.drivers.base import MachineSpec
from apps.drivers.errors import Rejected

TAG_URI = "urn:hostedai:machine:1"
TAG_PREFIX = "hai"
CPU_MODES = {"kvm": "host-passthrough", "qemu": "maximum"}
ET.register_namespace(TAG_PREFIX, TAG_URI)


@dataclass(frozen=True, slots=True)
class Tag:
    """What we write on every machine of ours, so that it is known again."""

    installation: str
    resource_id: str
    fence: int
    host_key: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a domain needs to know besides the machine."""

    virt_type: str  # kvm, qemu, xen
    network: str
    root: Path
    seed: Path
    cpu_mode: str = "auto"


def tag_xml(tag: Tag) -> str:
    """The metadata element, without a name space: libvirt adds it."""
    return ET.tostring(_tag_element("machine", tag), encoding="unicode")


def read_tag(text: str) -> Tag:
    """The tag from its metadata element."""
    element = ET.fromstring(text)  # noqa: S314 - libvirt's own answer
    fence = element.get("fence", "0")
    return Tag(
        installation=element.get("installation", ""),
        resource_id=element.get("resource", ""),
        fence=int(fence) if fence.isdigit() else 0,
        host_key=element.get("host-key", ""),
    )


def domain_xml(spec: MachineSpec, setting: Setting, tag: Tag) -> str:
    """The whole machine."""
    is_xen = setting.virt_type == "xen"
    domain = ET.Element("domain", type=setting.virt_type)
    _add(domain, "name", spec.name)
    _add(domain, "uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"hostedai:{spec.installation}:{spec.name}")))
    _add(domain, "metadata").append(_tag_element(f"{{{TAG_URI}}}machine", tag))
    _add(domain, "memory", str(spec.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(spec.vcpus))
    system = _add(domain, "os")
    _add(system, "type", "hvm", arch="x86_64", machine="xenfv" if is_xen else "q35")
    _add(system, "boot", dev="hd")
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    mode = CPU_MODES.get(setting.virt_type, "") if setting.cpu_mode == "auto" else setting.cpu_mode
    if mode and mode != "hypervisor-default":
        _add(domain, "cpu", mode=mode)
    _add(domain, "clock", offset="utc")
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")
    devices = _add(domain, "devices")
    _add_disks(devices, setting, is_xen=is_xen)
    _add_network(devices, spec, setting, is_xen=is_xen)
    _add_console(devices)
    if not is_xen:
        _add_comforts(devices)
    _add_gpus(devices, spec, is_xen=is_xen)
    return ET.tostring(domain, encoding="unicode")


def resized_xml(text: str, *, vcpus: int, memory_mib: int) -> str:
    """The same machine with other numbers, for its next start."""
    domain = ET.fromstring(text)  # noqa: S314 - libvirt's own answer
    for name in ("memory", "currentMemory"):
        if (element := domain.find(name)) is not None:
            element.text = str(memory_mib)
            element.set("unit", "MiB")
    vcpu = domain.find("vcpu")
    if vcpu is not None:
        vcpu.text = str(vcpus)
        vcpu.attrib.pop("current", None)
    for element in domain.findall("vcpus"):
        domain.remove(element)
    return ET.tostring(domain, encoding="unicode")


def pci_addresses(text: str) -> tuple[str, ...]:
    """The GPUs a domain holds."""
    domain = ET.fromstring(text)  # noqa: S314 - libvirt's own answer
    found = domain.findall("./devices/hostdev[@type='pci']/source/address")
    parts = [
        [int(address.get(name, "0"), 16) for name in ("domain", "bus", "slot", "function")]
        for address in found
    ]
    return tuple(f"{d:04x}:{b:02x}:{s:02x}.{f:x}" for d, b, s, f in parts)


def mac_address(spec: MachineSpec) -> str:
    """Always the same for a machine; locally administered, 40 bits of chance."""
    digest = hashlib.sha256(f"{spec.installation}:{spec.name}".encode()).digest()
    return "52:" + digest[:5].hex(":")


def _tag_element(name: str, tag: Tag) -> ET.Element:
    element = ET.Element(name, installation=tag.installation, resource=tag.resource_id)
    element.set("fence", str(tag.fence))
    element.set("host-key", tag.host_key)
    return element


def _add(parent: ET.Element, name: str, text: str = "", /, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, name, attributes)
    element.text = text or None
    return element


def _add_disks(devices: ET.Element, setting: Setting, *, is_xen: bool) -> None:
    bus, names = ("xen", ("xvda", "xvdb")) if is_xen else ("virtio", ("vda", "vdb"))
    root = _add(devices, "disk", type="file", device="disk")
    _add(root, "driver", name="qemu", type="qcow2", discard="unmap")
    _add(root, "source", file=str(setting.root))
    _add(root, "target", dev=names[0], bus=bus)
    seed = _add(devices, "disk", type="file", device="disk")
    _add(seed, "driver", name="qemu", type="raw")
    _add(seed, "source", file=str(setting.seed))
    _add(seed, "target", dev=names[1], bus=bus)
    _add(seed, "readonly")


def _add_network(devices: ET.Element, spec: MachineSpec, setting: Setting, *, is_xen: bool) -> None:
    interface = _add(devices, "interface", type="network")
    _add(interface, "mac", address=mac_address(spec))
    _add(interface, "source", network=setting.network)
    if not is_xen:
        _add(interface, "port", isolated="yes")  # guests of one bridge do not reach one another
        _add(interface, "model", type="virtio")
        _add(interface, "rom", enabled="no")


def _add_console(devices: ET.Element) -> None:
    serial = _add(devices, "serial", type="pty")
    _add(serial, "target", port="0")
    console = _add(devices, "console", type="pty")
    _add(console, "target", type="serial", port="0")


def _add_comforts(devices: ET.Element) -> None:
    _add(devices, "controller", type="usb", model="none")
    channel = _add(devices, "channel", type="unix")
    _add(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    rng = _add(devices, "rng", model="virtio")
    _add(rng, "backend", "/dev/urandom", model="random")
    balloon = _add(devices, "memballoon", model="virtio")
    _add(balloon, "stats", period="5")
    video = _add(devices, "video")
    _add(video, "model", type="none")


def _add_gpus(devices: ET.Element, spec: MachineSpec, *, is_xen: bool) -> None:
    for text in spec.pci_addresses:
        hostdev = _add(devices, "hostdev", mode="subsystem", type="pci", managed="yes")
        _add(hostdev, "driver", name="xen" if is_xen else "vfio")
        _add(_add(hostdev, "source"), "address", **_split_pci(text))
    for mdev in spec.mdev_uuids:
        if is_xen:
            raise Rejected("Shared GPUs need KVM.", detail="mdev is not available with Xen")
        hostdev = _add(devices, "hostdev", mode="subsystem", type="mdev", model="vfio-pci")
        _add(_add(hostdev, "source"), "address", uuid=str(uuid.UUID(mdev)))


def _split_pci(text: str) -> dict[str, str]:
    """ "0000:65:00.0" in the four attributes of libvirt."""
    try:
        domain, bus, rest = text.split(":")
        slot, function = rest.split(".")
        numbers = [int(part, 16) for part in (domain, bus, slot, function)]
    except ValueError as error:
        raise Rejected("A GPU address is not valid.", detail=f"not a PCI address: {text!r}") from error
    widths = zip(("domain", "bus", "slot", "function"), numbers, (4, 2, 2, 1), strict=True)
    return {name: f"0x{number:0{width}x}" for name, number, width in widths}
