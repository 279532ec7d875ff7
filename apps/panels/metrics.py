"""The hypervisor's running totals of a machine, as rates a chart can show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.instances.models import Sample
from apps.panels.kit import Chart, Series

RANGES: dict[str, tuple[Any, timedelta]] = {
    "1h": (_("1 h"), timedelta(hours=1)),
    "6h": (_("6 h"), timedelta(hours=6)),
    "24h": (_("24 h"), timedelta(hours=24)),
    "7d": (_("7 d"), timedelta(days=7)),
}


@dataclass(frozen=True)
class Rates:
    """Rates between samples: `times` are the ends of the intervals."""

    times: list[float]
    cpu: list[float | None]
    memory: list[float | None]
    received: list[float | None]
    sent: list[float | None]
    read: list[float | None]
    written: list[float | None]


@dataclass(frozen=True)
class Cards:
    """How busy a machine's GPUs were and how full, in percent: the mean over its cards, and the busiest."""

    times: list[float]
    busy: list[float]
    busiest: list[float]
    memory: list[float]
    count: int  # of cards


def cards(samples: Sequence[Sample]) -> Cards:
    """As they were sampled; nothing where nobody could tell."""
    seen = [one for one in samples if one.gpu_busy]
    return Cards(
        [round(one.at.timestamp()) for one in seen],
        [_mean(one.gpu_busy) for one in seen],
        [max(one.gpu_busy) for one in seen],
        [_mean(one.gpu_memory) for one in seen],
        max((len(one.gpu_busy) for one in seen), default=0),
    )


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1) if values else 0.0


def rates(samples: Sequence[Sample], vcpus: int) -> Rates:
    """Per second between neighbours; nothing where a counter began anew."""
    found = Rates([], [], [], [], [], [], [])
    for before, after in pairwise(samples):
        seconds = (after.at - before.at).total_seconds()
        if seconds <= 0:
            continue
        cpu = _rate(before.cpu_ns, after.cpu_ns, seconds)
        found.times.append(round(after.at.timestamp()))
        found.cpu.append(None if cpu is None else min(100.0, round(cpu / 1e7 / max(vcpus, 1), 2)))
        total = after.memory_total_mib or 1
        found.memory.append(round(100 * after.memory_used_mib / total, 2))
        found.received.append(_rate(before.net_rx_bytes, after.net_rx_bytes, seconds))
        found.sent.append(_rate(before.net_tx_bytes, after.net_tx_bytes, seconds))
        found.read.append(_rate(before.disk_read_bytes, after.disk_read_bytes, seconds))
        found.written.append(_rate(before.disk_write_bytes, after.disk_write_bytes, seconds))
    return found


def _rate(before: int, after: int, seconds: float) -> float | None:
    return None if after < before else round((after - before) / seconds, 2)


def gpu_chart(found: Cards) -> Chart:
    """Use and memory of the cards; which one is busiest where there are several."""
    lines = [
        Series(_("Busy"), found.busy, "s1", fill=True),
        Series(_("Memory"), found.memory, "s2"),
    ]
    if found.count > 1:
        lines.append(Series(_("Busiest card"), found.busiest, "s3"))
    said = {"mean": round(_mean(found.busy)), "memory": round(_mean(found.memory))}
    return Chart(
        "gpus",
        _("GPUs"),
        found.times,
        lines,
        _now("The GPUs were %(mean)s %% busy and their memory %(memory)s %% full on average.") % said,
        unit="percent",
        maximum=100,
        empty=_now("Nothing was measured yet: not every hypervisor can look into the cards."),
    )


def charts(found: Rates, ranges: Sequence[tuple[Any, str, bool]]) -> list[Chart]:
    """Processor and memory, network, disk."""
    empty = _now("Nothing was measured yet: the first values come about a minute after the start.")
    busy = [one for one in found.cpu if one is not None]
    mean = sum(busy) / len(busy) if busy else 0
    return [
        Chart(
            "load",
            _("Processor and memory"),
            found.times,
            [Series(_("Processor"), found.cpu, "s1", fill=True), Series(_("Memory"), found.memory, "s2")],
            _now("Processor and memory use; the processor was %(mean)s %% busy on average.")
            % {"mean": round(mean)},
            unit="percent",
            maximum=100,
            ranges=ranges,
            empty=empty,
        ),
        Chart(
            "net",
            _("Network"),
            found.times,
            [Series(_("Received"), found.received, "s1"), Series(_("Sent"), found.sent, "s3")],
            _now("Bytes received and sent per second."),
            unit="rate",
            empty=empty,
        ),
        Chart(
            "disk",
            _("Disk"),
            found.times,
            [Series(_("Read"), found.read, "s2"), Series(_("Written"), found.written, "s4")],
            _now("Bytes read and written per second."),
            unit="rate",
            empty=empty,
        ),
    ]
