"""What any source of GPUs answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


class NoSuchSource(Exception):
    """The configuration names a source that there is not."""


class Unreadable(Exception):
    """The cards cannot be asked at the moment; nothing follows from it about them."""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU. `health` is healthy, degraded or failed; `reason` says why it is not healthy."""

    uuid: str
    vendor: str
    model: str
    memory_mib: int
    pci_address: str
    numa_node: int = 0
    health: str = "healthy"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CardReading:
    """What a card does now; what it does not tell is None."""

    uuid: str
    busy_percent: float | None = None
    memory_used_mib: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    ecc_errors: int | None = None
    xid: int | None = None


class GpuSource(ABC):
    """Where cards are asked; both methods raise `Unreadable` and nothing else."""

    kind: str = ""

    @abstractmethod
    def cards(self) -> list[Card]:
        """All cards of the host."""

    @abstractmethod
    def readings(self, now: float) -> list[CardReading]:
        """One for each card; `now` in seconds since 1970."""

    def close(self) -> None:
        """Let go of the library."""
        return


class NoGpus(GpuSource):
    """A host without any."""

    kind = "none"

    def cards(self) -> list[Card]:
        return []

    def readings(self, now: float) -> list[CardReading]:
        return []
