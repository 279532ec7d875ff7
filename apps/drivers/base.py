"""The contract between the portal and whatever runs machines.

Every method returns at once, may be called again with the same arguments, and raises nothing but
`DriverError`. What a driver cannot do it does not inherit: ask with `isinstance(driver, CanStop)`.
"""

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Self


class Power(StrEnum):
    """What a machine is doing, in our words."""

    RUNNING = "running"
    STOPPED = "stopped"
    CHANGING = "changing"  # starting, stopping or being removed: look again
    PARTIAL = "partial"  # leftovers such as disks without a machine: create completes, delete removes


class Health(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A disk image to start from."""

    name: str
    checksum: str = ""  # "sha256:<hex>"; required by drivers that copy bytes
    source: str = ""  # absolute path the region's worker can read, or the provider's own image name
    min_disk_gib: int = 0


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine as wanted. The name is ours and deterministic, so that creating twice is creating once."""

    name: str  # "hai-<id>"
    installation: str
    resource_id: str
    fence: int
    vcpus: int
    memory_mib: int
    disk_gib: int
    image: ImageRef
    node: str = ""  # where it was placed; "" lets the driver choose
    pci_addresses: tuple[str, ...] = ()  # whole GPUs, "0000:65:00.0"
    mdev_uuids: tuple[str, ...] = ()  # mediated (shared) GPUs
    hostname: str = ""  # "" means the machine's name
    user: str = "user"
    ssh_keys: tuple[str, ...] = ()  # public keys, one OpenSSH line each
    user_data: Mapping[str, object] | None = None  # cloud-config beyond what we write ourselves


@dataclass(frozen=True, slots=True)
class Observed:
    """A machine as it is now. Numbers are what it runs with, not what was asked for."""

    power: Power
    installation: str = ""
    resource_id: str = ""
    fence: int = 0
    node: str = ""
    address: str = ""  # where the portal connects to; "" while unknown
    ssh_port: int = 22
    host_key: str = ""  # OpenSSH public key line that the machine must present
    booted: bool = False  # it runs and its SSH server answers
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    pci_addresses: tuple[str, ...] = ()
    reclaimed: bool = False  # the provider took it away (spot)
    failure: str = ""  # why it is not well, in words for the user

    @property
    def fingerprint(self) -> str:
        """SHA256 fingerprint of the host key as ssh prints it; "" while there is none."""
        return fingerprint(self.host_key)


@dataclass(frozen=True, slots=True)
class MachineRef:
    """One of our machines as a listing shows it."""

    name: str
    installation: str
    resource_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All tagged machines of a cluster, of every installation. Nothing may be concluded from absence
    unless `is_complete`."""

    machines: tuple[MachineRef, ...]
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    name: str
    created_at: float  # seconds since 1970, UTC
    size_bytes: int = 0  # 0 when the far side does not say


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What a card of a machine does at the moment, in percent of what it could."""

    busy: float
    memory: float


@dataclass(frozen=True, slots=True)
class Counters:
    """Running totals from the hypervisor; they restart at zero when the machine does.

    `gpus` is what each of its cards does, always in the same order; empty where nobody can tell.
    """

    at: float  # seconds since 1970, UTC
    cpu_ns: int
    net_rx_bytes: int
    net_tx_bytes: int
    disk_read_bytes: int
    disk_write_bytes: int
    memory_used_mib: int
    memory_total_mib: int
    gpus: tuple[GpuUse, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuInfo:
    uuid: str
    vendor: str
    model: str
    memory_mib: int
    pci_address: str
    numa_node: int = 0
    health: Health = Health.HEALTHY
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A host as its cluster reports it; capacities are totals."""

    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    hypervisor: str = "none"  # kvm, qemu, xen, sim
    health: Health = Health.HEALTHY
    zone: str = ""
    rack: str = ""
    gpus: tuple[GpuInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    nodes: tuple[NodeInfo, ...]
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Checked:
    """Proof that the endpoint answers; `version` and `detail` are for the operator's page."""

    version: str
    detail: str = ""


class Driver(ABC):
    """Knows one cluster; what it can do there its other base classes say."""

    kind: ClassVar[str]

    @abstractmethod
    def check(self) -> Checked:
        """Whether the endpoint can be used; raises `BadCredentials`, `Rejected` or `Transient`."""

    def close(self) -> None:  # noqa: B027 (a driver without connections has nothing to close)
        """Let go of connections; the driver may still be used and connects again."""


class ComputeDriver(Driver):
    """Creates and removes machines of one cluster."""

    @abstractmethod
    def observe(self, name: str) -> Observed | None:
        """The machine as it is now; None is proof that machine *and* disks are gone."""

    @abstractmethod
    def create(self, spec: MachineSpec) -> None:
        """Begin to make and start the machine; one that already exists is left alone."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Begin removal of machine, disks and snapshots; one already gone is not an error.

        A machine of that name which carries no tag of ours is `Rejected`.
        """

    @abstractmethod
    def list_machines(self) -> Listing:
        """Every machine that carries a tag of ours; untagged machines are never shown."""


class CanStop(ABC):
    @abstractmethod
    def stop(self, name: str, *, force: bool = False) -> None:
        """Ask the guest to shut down; `force` cuts its power. Stopped already is not an error."""

    @abstractmethod
    def start(self, name: str) -> None:
        """Begin to start; running already is not an error."""


class CanReboot(ABC):
    @abstractmethod
    def reboot(self, name: str, *, force: bool = False) -> None:
        """Restart once per call: ask the guest, or with `force` reset it."""


class CanResize(ABC):
    @abstractmethod
    def resize(self, name: str, *, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        """Set the size. vCPUs and memory hold from the next start; disks only grow (`Rejected` else)."""


class HasSnapshots(ABC):
    """Snapshots of the root disk, crash-consistent, without memory."""

    @abstractmethod
    def create_snapshot(self, name: str, snapshot: str) -> None: ...

    @abstractmethod
    def list_snapshots(self, name: str) -> tuple[SnapshotRef, ...]: ...

    @abstractmethod
    def delete_snapshot(self, name: str, snapshot: str) -> None:
        """One already gone is not an error."""

    @abstractmethod
    def restore_snapshot(self, name: str, snapshot: str) -> None:
        """Put the disk back; the machine must be stopped (`Rejected` else) and stays stopped."""


class Console(ABC):
    """The serial console as a stream of bytes; use from one thread, or `close` from another."""

    @abstractmethod
    def read(self, timeout: float) -> bytes | None:
        """What arrived, b"" when nothing did within `timeout` seconds, None when the stream has ended."""

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HasConsole(ABC):
    @abstractmethod
    def open_console(self, name: str) -> Console:
        """The console of a running machine (`Rejected` else); a second reader displaces the first."""


class HasMetrics(ABC):
    @abstractmethod
    def counters(self, name: str) -> Counters | None:
        """Totals of a running machine; None when it does not run."""


class HasInventory(ABC):
    @abstractmethod
    def inventory(self) -> Inventory:
        """The hosts and GPUs of the cluster."""


def fingerprint(public_key: str) -> str:
    """SHA256 fingerprint of an OpenSSH public key line as ssh prints it; "" for no key."""
    words = public_key.split()
    if len(words) < 2:
        return ""
    digest = hashlib.sha256(base64.b64decode(words[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
