"""From libvirt's words to ours; touches nothing."""

import re
import time
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from apps.drivers.base import Counters, GpuInfo, Power

RUNNING, BLOCKED, PAUSED, SHUTDOWN, SHUTOFF, CRASHED, SUSPENDED = range(1, 8)
PAUSED_BY_DISK, PAUSED_STARTING = 5, 11
OFF_CRASHED, OFF_FAILED = 3, 6
POWERS = {
    RUNNING: Power.RUNNING,
    BLOCKED: Power.RUNNING,
    PAUSED: Power.CHANGING,
    SHUTDOWN: Power.CHANGING,
    SHUTOFF: Power.STOPPED,
    CRASHED: Power.STOPPED,
    SUSPENDED: Power.CHANGING,
}
GPU_VENDORS = {"0x10de": "nvidia", "0x1002": "amd"}
DISPLAY_CLASSES = ("0x0300", "0x0302", "0x0380")


def power_of(state: int) -> Power:
    """What a domain state is to us; one we do not know is worth another look."""
    return POWERS.get(state, Power.CHANGING)


def failure_of(state: int, reason: int) -> str:
    """Why a domain is not well, for the user."""
    if state == CRASHED or (state, reason) == (SHUTOFF, OFF_CRASHED):
        return "The machine crashed."
    if (state, reason) == (SHUTOFF, OFF_FAILED):
        return "The machine could not start."
    if (state, reason) == (PAUSED, PAUSED_BY_DISK):
        return "The machine is halted: its host cannot write to the disk."
    return ""


def counters_of(found: Mapping[str, object]) -> Counters:
    """The flat table of libvirt's statistics, added up."""

    def total(pattern: str) -> int:
        matching = (value for name, value in found.items() if re.fullmatch(pattern, name))
        return sum(value for value in matching if isinstance(value, int))

    memory_kib = total(r"balloon\.current")
    available, usable = total(r"balloon\.available"), total(r"balloon\.usable")
    used_kib = available - usable if available and usable else total(r"balloon\.rss")
    return Counters(
        at=time.time(),
        cpu_ns=total(r"cpu\.time"),
        net_rx_bytes=total(r"net\.\d+\.rx\.bytes"),
        net_tx_bytes=total(r"net\.\d+\.tx\.bytes"),
        disk_read_bytes=total(r"block\.\d+\.rd\.bytes"),
        disk_write_bytes=total(r"block\.\d+\.wr\.bytes"),
        memory_used_mib=min(used_kib, memory_kib) // 1024,
        memory_total_mib=memory_kib // 1024,
    )


def gpu_of(text: str, node: str) -> GpuInfo | None:
    """A GPU from a PCI device's XML; None for any other device."""
    capability = ET.fromstring(text).find("capability")  # noqa: S314 - libvirt's own answer
    if capability is None or not (capability.findtext("class") or "").startswith(DISPLAY_CLASSES):
        return None
    vendor, product = capability.find("vendor"), capability.find("product")
    if vendor is None or vendor.get("id") not in GPU_VENDORS:
        return None
    parts = (int(capability.findtext(name) or "0") for name in ("domain", "bus", "slot", "function"))
    address = "{:04x}:{:02x}:{:02x}.{:x}".format(*parts)
    numa = capability.find("numa")
    return GpuInfo(
        uuid=f"pci-{node}-{address}",
        vendor=GPU_VENDORS[vendor.get("id", "")],
        model=(product.text or "" if product is not None else "").strip(),
        memory_mib=0,  # PCI does not say
        pci_address=address,
        numa_node=int(numa.get("node", "0")) if numa is not None else 0,
    )
