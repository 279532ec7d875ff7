"""The driver of one libvirt host: QEMU with KVM or emulation, and Xen."""

import os
import shutil
import socket
from pathlib import Path
from typing import Any, ClassVar

from apps.drivers.base import (
    CanReboot,
    CanResize,
    CanStop,
    Checked,
    ComputeDriver,
    Console,
    Counters,
    HasConsole,
    HasInventory,
    HasMetrics,
    HasSnapshots,
    Inventory,
    Listing,
    MachineRef,
    MachineSpec,
    NodeInfo,
    Observed,
    Power,
    SnapshotRef,
)
from apps.drivers.configs import LibvirtConfig
from apps.drivers.errors import NoCapacity, Rejected, Transient
from apps.drivers.libvirt import documents, mapping, probe
from apps.drivers.libvirt.client import Client, as_driver_errors
from apps.drivers.libvirt.console import LibvirtConsole
from apps.drivers.libvirt.documents import Tag
from apps.drivers.libvirt.storage import MachineFiles, Storage, checked_name

SSH_PORT = 22
SSH_SECONDS = 2.0
INACTIVE = 2  # VIR_DOMAIN_XML_INACTIVE
BYTES = 1  # VIR_DOMAIN_BLOCK_RESIZE_BYTES


class LibvirtDriver(
    ComputeDriver, CanStop, CanReboot, CanResize, HasSnapshots, HasConsole, HasMetrics, HasInventory
):
    """Machines are libvirt domains that carry our tag; their files are in the storage folder."""

    kind: ClassVar[str] = "libvirt"

    def __init__(self, config: LibvirtConfig) -> None:
        from_uri = "xen" if config.uri.startswith("xen") else ""
        self.config = config
        self.client = Client(config.uri)
        self.storage = Storage(Path(config.storage_dir))
        self.node = config.node or socket.gethostname()
        self._virt_type = from_uri or ("" if config.virt_type == "auto" else config.virt_type)

    def close(self) -> None:
        self.client.close()

    def check(self) -> Checked:
        with as_driver_errors():
            connection = self.client.connection()
            number = connection.getLibVersion()
            hypervisor = connection.getType()
        if not self.client.network_is_active(self.config.network):
            raise Rejected(
                f"The network “{self.config.network}” is not up.",
                detail=f"on {self.config.uri}: net-start it",
            )
        folder = self.storage.folder
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise Rejected("The storage folder cannot be written to.", detail=str(folder))
        version = f"libvirt {number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        return Checked(version=version, detail=f"{hypervisor}, machines run under {self.virt_type()}")

    def observe(self, name: str) -> Observed | None:
        files = self.storage.machine(name)
        domain = self.client.find(name)
        if domain is None:
            return _observed_leftovers(files) if files.exist() else None
        with as_driver_errors():
            state, reason = domain.state()
            _, _, memory_kib, vcpus, _ = domain.info()
            description = domain.XMLDesc()
        text = self.client.tag_text(domain)
        tag = documents.read_tag(text) if text else Tag("", "", 0)
        power = mapping.power_of(state)
        addresses = self.client.addresses(domain) if power is Power.RUNNING else []
        return Observed(
            power=power,
            installation=tag.installation,
            resource_id=tag.resource_id,
            fence=tag.fence,
            node=self.node,
            address=addresses[0] if addresses else "",
            ssh_port=SSH_PORT,
            host_key=tag.host_key,
            booted=bool(addresses) and ssh_answers(addresses[0], SSH_PORT),
            vcpus=vcpus,
            memory_mib=memory_kib // 1024,
            disk_gib=files.disk_gib(),
            pci_addresses=documents.pci_addresses(description),
            failure=mapping.failure_of(state, reason),
        )

    def create(self, spec: MachineSpec) -> None:
        domain = self.client.find(checked_name(spec.name))
        if domain is not None:
            tag = self._require_ours(domain)
            if tag.fence < spec.fence:
                newer = Tag(tag.installation, tag.resource_id, spec.fence, tag.host_key)
                self.client.set_tag_text(domain, documents.tag_xml(newer))
            return
        files, tag = self.storage.prepare(spec)
        setting = documents.Setting(
            self.virt_type(), self.config.network, files.root, files.seed, self.config.cpu_mode
        )
        domain = self.client.define(documents.domain_xml(spec, setting, tag))
        try:
            self.client.start(domain)
        except (NoCapacity, Rejected):
            self.client.undefine(domain)  # so that another try begins anew; the files are ours to delete
            raise

    def delete(self, name: str) -> None:
        files = self.storage.machine(name)
        domain = self.client.find(name)
        if domain is not None:
            self._require_ours(domain)
            self.client.destroy(domain)
            self.client.undefine(domain)
        files.remove()

    def list_machines(self) -> Listing:
        tags = dict(self.storage.leftovers())
        for domain in self.client.domains():
            if text := self.client.tag_text(domain):
                tags[domain.name()] = documents.read_tag(text)
        found = (MachineRef(name, tag.installation, tag.resource_id, tag.fence) for name, tag in tags.items())
        return Listing(tuple(sorted(found, key=lambda machine: machine.name)))

    def stop(self, name: str, *, force: bool = False) -> None:
        domain = self._must_find(name)
        with as_driver_errors():
            is_on = domain.isActive()
        if is_on and force:
            self.client.destroy(domain)
        elif is_on:
            self.client.shutdown(domain)

    def start(self, name: str) -> None:
        domain = self._must_find(name)
        with as_driver_errors():
            is_on = domain.isActive()
        if not is_on:
            self.client.start(domain)

    def reboot(self, name: str, *, force: bool = False) -> None:
        domain = self._must_run(name)
        self.client.reboot(domain, force=force)

    def resize(self, name: str, *, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        domain = self._must_find(name)
        files = self.storage.machine(name)
        has = files.disk_gib()
        if disk_gib < has:
            raise Rejected(
                "A disk cannot be made smaller.", detail=f"{name}: {has} GiB, asked for {disk_gib}"
            )
        with as_driver_errors():
            description = domain.XMLDesc(INACTIVE)
            is_on = domain.isActive()
        self.client.define(documents.resized_xml(description, vcpus=vcpus, memory_mib=memory_mib))
        if disk_gib > has and is_on:
            with as_driver_errors():
                domain.blockResize(str(files.root), disk_gib << 30, BYTES)
        elif disk_gib > has:
            files.grow(disk_gib)

    def create_snapshot(self, name: str, snapshot: str) -> None:
        domain, files = self._must_find(name), self.storage.machine(name)
        if self._has_snapshot(files, checked_name(snapshot)):
            return
        with as_driver_errors():
            is_on = domain.isActive()
        if is_on:
            device = self._block_device(domain, files)
            self.client.monitor(domain, "blockdev-snapshot-internal-sync", device=device, name=snapshot)
        else:
            files.snapshot("-c", snapshot)

    def list_snapshots(self, name: str) -> tuple[SnapshotRef, ...]:
        self._must_find(name)
        return self.storage.machine(name).snapshots()

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        domain, files = self.client.find(checked_name(name)), self.storage.machine(name)
        if not files.root.exists() or not self._has_snapshot(files, checked_name(snapshot)):
            return
        with as_driver_errors():
            is_on = domain is not None and domain.isActive()
        if is_on:
            device = self._block_device(domain, files)
            self.client.monitor(
                domain, "blockdev-snapshot-delete-internal-sync", device=device, name=snapshot
            )
        else:
            files.snapshot("-d", snapshot)

    def restore_snapshot(self, name: str, snapshot: str) -> None:
        domain, files = self._must_find(name), self.storage.machine(name)
        with as_driver_errors():
            is_on = domain.isActive()
        if is_on:
            raise Rejected("Stop the machine before you restore a snapshot.")
        if not self._has_snapshot(files, checked_name(snapshot)):
            raise Rejected("There is no such snapshot.", detail=f"{snapshot} of {name}")
        had = files.disk_gib()
        files.snapshot("-a", snapshot)
        if files.disk_gib() < had:  # the snapshot is from before the disk grew
            files.grow(had)

    def open_console(self, name: str) -> Console:
        self._must_run(name)
        return LibvirtConsole(*self.client.open_console_stream(name))

    def counters(self, name: str) -> Counters | None:
        domain = self._must_find(name)
        with as_driver_errors():
            is_on = domain.isActive()
        return mapping.counters_of(self.client.statistics(domain)) if is_on else None

    def inventory(self) -> Inventory:
        with as_driver_errors():
            _, memory_mib, vcpus, *_ = self.client.connection().getInfo()
        memory_mib = max(memory_mib, physical_memory_mib())  # libvirt misses memory added after boot
        found = (mapping.gpu_of(text, self.node) for text in self.client.pci_devices())
        folder = self.storage.folder
        disk = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists()))
        node = NodeInfo(
            name=self.node,
            vcpus=vcpus,
            memory_mib=max(0, memory_mib - self.config.reserved_memory_mib),
            disk_gib=disk.total >> 30,
            hypervisor=self.virt_type(),
            gpus=tuple(gpu for gpu in found if gpu),
        )
        return Inventory((node,))

    def virt_type(self) -> str:
        """What new machines run under; found out once."""
        self._virt_type = self._virt_type or probe.virt_type()
        return self._virt_type

    def _require_ours(self, domain: Any) -> Tag:
        text = self.client.tag_text(domain)
        if not text:
            raise Rejected(
                "A machine of that name exists which is not ours.", detail=f"{domain.name()}: no tag"
            )
        return documents.read_tag(text)

    def _must_find(self, name: str) -> Any:
        domain = self.client.find(checked_name(name))
        if domain is None:
            raise Rejected("There is no such machine.", detail=f"no domain {name}")
        self._require_ours(domain)
        return domain

    def _must_run(self, name: str) -> Any:
        domain = self._must_find(name)
        with as_driver_errors():
            if not domain.isActive():
                raise Rejected("The machine does not run.", detail=f"domain {name} is off")
        return domain

    def _has_snapshot(self, files: MachineFiles, name: str) -> bool:
        return any(snapshot.name == name for snapshot in files.snapshots())

    def _block_device(self, domain: Any, files: MachineFiles) -> str:
        """QEMU's own name of the root disk."""
        for node in self.client.monitor(domain, "query-named-block-nodes", flat=True):
            if node.get("drv") == "qcow2" and node.get("file") == str(files.root):
                return str(node["node-name"])
        raise Transient("The disk is not attached.", detail=f"no block node for {files.root}")


def physical_memory_mib() -> int:
    """The memory of the host, which is this one."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def ssh_answers(address: str, port: int) -> bool:
    """Whether an SSH server greets us there, soon."""
    try:
        with socket.create_connection((address, port), timeout=SSH_SECONDS) as probing:
            probing.settimeout(SSH_SECONDS)
            return probing.recv(4) == b"SSH-"
    except OSError:
        return False


def _observed_leftovers(files: MachineFiles) -> Observed:
    tag = files.tag() or Tag("", "", 0)
    return Observed(
        power=Power.PARTIAL,
        installation=tag.installation,
        resource_id=tag.resource_id,
        fence=tag.fence,
        host_key=tag.host_key,
        disk_gib=files.disk_gib(),
    )
