"""NVIDIA's cards through NVML (`nvidia-ml-py`); the only module that touches that library."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from hostedai_agent.gpus.base import Card, CardReading, GpuSource, Unreadable

MIB = 1 << 20
# Xids after which a card needs a reset or a new place (NVIDIA's catalogue): memory it cannot repair, fallen
# off the bus, row remapping that failed, contained and uncontained errors.
FATAL_XIDS = frozenset({48, 62, 64, 74, 79, 95, 119, 120})


class NvmlGpus(GpuSource):
    """Asks the library anew each time; critical Xids are collected between readings and stay noted."""

    kind = "nvml"

    def __init__(self, library: Any) -> None:
        self._nvml = library
        self._xids: dict[str, int] = {}
        self._events: Any = None
        self._call(library.nvmlInit)
        self._listen()

    @classmethod
    def find(cls) -> "NvmlGpus | None":
        """The library with a working driver under it; None where there is none."""
        try:
            return cls(import_module("pynvml"))
        except (ImportError, Unreadable):
            return None

    def cards(self) -> list[Card]:
        self._collect_xids()
        return [self._card(handle) for handle in self._handles()]

    def readings(self, now: float) -> list[CardReading]:
        self._collect_xids()
        return [self._reading(handle) for handle in self._handles()]

    def close(self) -> None:
        self._or_none(self._nvml.nvmlShutdown)

    def _handles(self) -> list[Any]:
        count = int(self._call(self._nvml.nvmlDeviceGetCount))
        return [self._call(self._nvml.nvmlDeviceGetHandleByIndex, n) for n in range(count)]

    def _card(self, handle: Any) -> Card:
        nvml = self._nvml
        uuid = _text(self._call(nvml.nvmlDeviceGetUUID, handle))
        errors, xid = self._ecc(handle), self._xids.get(uuid)
        health, reason = "healthy", ""
        if xid in FATAL_XIDS:
            health, reason = "failed", f"Xid {xid}"
        elif errors or xid:
            health, reason = "degraded", f"{errors} uncorrected memory errors" if errors else f"Xid {xid}"
        return Card(
            uuid=uuid,
            vendor="nvidia",
            model=_text(self._call(nvml.nvmlDeviceGetName, handle)),
            memory_mib=int(self._call(nvml.nvmlDeviceGetMemoryInfo, handle).total) // MIB,
            pci_address=_pci(_text(self._call(nvml.nvmlDeviceGetPciInfo, handle).busId)),
            numa_node=max(0, int(self._or_none(getattr(nvml, "nvmlDeviceGetNumaNodeId", None), handle) or 0)),
            health=health,
            reason=reason,
        )

    def _reading(self, handle: Any) -> CardReading:
        nvml = self._nvml
        uuid = _text(self._call(nvml.nvmlDeviceGetUUID, handle))
        use = self._or_none(nvml.nvmlDeviceGetUtilizationRates, handle)
        power = self._or_none(nvml.nvmlDeviceGetPowerUsage, handle)
        heat = self._or_none(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        memory = self._or_none(nvml.nvmlDeviceGetMemoryInfo, handle)
        return CardReading(
            uuid=uuid,
            busy_percent=None if use is None else float(use.gpu),
            memory_used_mib=None if memory is None else int(memory.used) // MIB,
            temperature_c=None if heat is None else float(heat),
            power_w=None if power is None else round(power / 1000, 1),
            ecc_errors=self._ecc(handle),
            xid=self._xids.get(uuid),
        )

    def _ecc(self, handle: Any) -> int | None:
        nvml = self._nvml
        kind = (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)
        found = self._or_none(nvml.nvmlDeviceGetTotalEccErrors, handle, *kind)
        return None if found is None else int(found)

    def _listen(self) -> None:
        """Ask for news of Xids; a card or driver that tells none is read without."""
        nvml = self._nvml
        self._events = self._or_none(getattr(nvml, "nvmlEventSetCreate", None))
        for handle in self._handles() if self._events is not None else ():
            self._or_none(
                nvml.nvmlDeviceRegisterEvents, handle, nvml.nvmlEventTypeXidCriticalError, self._events
            )

    def _collect_xids(self) -> None:
        for _each in range(64 if self._events is not None else 0):
            event = self._or_none(self._nvml.nvmlEventSetWait_v2, self._events, 0)
            if event is None:
                return
            uuid = self._or_none(self._nvml.nvmlDeviceGetUUID, event.device)
            if uuid is not None:
                self._xids[_text(uuid)] = int(event.eventData)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            raise Unreadable(str(error)) from error

    def _or_none(self, function: Callable[..., Any] | None, *arguments: Any) -> Any:
        """What not every card or driver tells."""
        if function is None:
            return None
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _pci(address: str) -> str:
    """`00000000:65:00.0` as the kernel writes it."""
    domain, _colon, rest = address.lower().partition(":")
    return f"{domain[-4:]}:{rest}"
