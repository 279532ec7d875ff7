"""The host's GPUs behind one interface: NVIDIA's library, a simulation, or none."""

from hostedai_agent.gpus.base import Card, CardReading, GpuSource, NoGpus, NoSuchSource, Unreadable
from hostedai_agent.gpus.nvml import NvmlGpus
from hostedai_agent.gpus.simulated import SimulatedGpus

__all__ = [
    "Card",
    "CardReading",
    "GpuSource",
    "NoGpus",
    "NoSuchSource",
    "NvmlGpus",
    "SimulatedGpus",
    "Unreadable",
    "choose",
]


def choose(text: str, hostname: str) -> GpuSource:
    """The source that the configuration names: auto, none or simulated:<count>:<model>."""
    kind, _colon, rest = text.partition(":")
    if kind == "none":
        return NoGpus()
    if kind == "auto":
        return NvmlGpus.find() or NoGpus()
    count, _colon, model = rest.partition(":")
    if kind == "simulated" and count.isdigit() and 0 < int(count) <= 64:
        return SimulatedGpus(hostname, int(count), model or "h100-80gb")
    raise NoSuchSource(f"gpus is auto, none or simulated:<count>:<model>, not {text!r}")
