"""What a machine needs, from what it used hour by hour; pure.

Peaks count, not means: advice must not take away what somebody used even once. Where cards were not measured
nothing is said about them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

# Below this, in percent, nothing of ours works there.
IDLE_PERCENT = 5.0
# So much more than the peak must fit.
HEADROOM = 1.25
# For so long it must have been measured, without an exception in between.
LEAST_IDLE = timedelta(hours=24)
LEAST_SEEN = timedelta(hours=72)
# What was measured last must not be older than this.
FRESH = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of a machine: for how long it was measured, and how much of what it has it used, in percent."""

    at: datetime
    seconds: float
    cpu_mean: float
    cpu_most: float
    memory_most: float
    gpu_seconds: float = 0
    gpu_most: float = 0
    gpu_memory_most: float = 0
    gpus_at_work: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """What a machine of a type has; a card of a `vendor` has so much memory and, where known, speed."""

    slug: str
    vcpus: int
    memory_mib: int
    gpus: int = 0
    gpu_model: str = ""
    gpu_vendor: str = ""
    gpu_memory_gib: int = 0
    gpu_tflops: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What some hours show together: the peaks, in percent; None of cards that were not measured."""

    start: datetime
    hours: float
    cpu_most: float
    memory_most: float
    gpu_most: float | None = None
    gpu_memory_most: float | None = None
    gpus_at_work: int = 0


def idle(hours: Sequence[Hour], *, gpus: int, now: datetime) -> Measured | None:
    """The hours up to now during which it did nothing, newest counted back; None when they are too few.

    With GPUs none of them may have worked and the processors little on average; without, the processors
    may not have worked at all.
    """
    if not _is_fresh(hours, now):
        return None
    quiet = list(takewhile(lambda hour: _is_quiet(hour, gpus), reversed(hours)))
    return _measured(quiet, gpus) if _seen(quiet, gpus) >= LEAST_IDLE else None


def peaks(hours: Sequence[Hour], *, gpus: int, now: datetime) -> Measured | None:
    """What it used at most; None when it has not been measured for long enough, or no longer is.

    Its cards are left out unless they were measured for as long, in each of the hours.
    """
    if not _is_fresh(hours, now) or _seen(hours, 0) < LEAST_SEEN:
        return None
    knows_cards = _seen(hours, gpus) >= LEAST_SEEN and all(hour.gpu_seconds for hour in hours)
    return _measured(hours, gpus if knows_cards else 0)


def fits(shape: Shape, *, was: Shape, used: Measured) -> bool:
    """Whether what it used would have fitted another shape, with headroom."""
    return (
        used.cpu_most / 100 * was.vcpus * HEADROOM <= shape.vcpus
        and used.memory_most / 100 * was.memory_mib * HEADROOM <= shape.memory_mib
        and _cards_fit(shape, was, used)
    )


def _cards_fit(shape: Shape, was: Shape, used: Measured) -> bool:
    if not was.gpus:
        return not shape.gpus
    if used.gpu_most is None or used.gpu_memory_most is None:
        return (shape.gpu_model, shape.gpus) == (was.gpu_model, was.gpus)
    if not shape.gpus:
        return used.gpu_most < IDLE_PERCENT
    if shape.gpus < used.gpus_at_work or shape.gpu_vendor != was.gpu_vendor:
        return False
    if shape.gpu_model == was.gpu_model:
        return True
    if not shape.gpu_tflops or not was.gpu_tflops:
        return False
    return (
        used.gpu_most / 100 * was.gpu_tflops * HEADROOM <= shape.gpu_tflops
        and used.gpu_memory_most / 100 * was.gpu_memory_gib * HEADROOM <= shape.gpu_memory_gib
    )


def _is_fresh(hours: Sequence[Hour], now: datetime) -> bool:
    return bool(hours) and hours[-1].at >= now - FRESH


def _is_quiet(hour: Hour, gpus: int) -> bool:
    if not gpus:
        return hour.cpu_most < IDLE_PERCENT
    return hour.gpu_seconds > 0 and hour.gpu_most < IDLE_PERCENT and hour.cpu_mean < IDLE_PERCENT


def _seen(hours: Iterable[Hour], gpus: int) -> timedelta:
    return timedelta(seconds=sum(hour.gpu_seconds if gpus else hour.seconds for hour in hours))


def _measured(hours: Sequence[Hour], gpus: int) -> Measured:
    return Measured(
        start=min(hour.at for hour in hours),
        hours=round(_seen(hours, gpus) / timedelta(hours=1), 1),
        cpu_most=max(hour.cpu_most for hour in hours),
        memory_most=max(hour.memory_most for hour in hours),
        gpu_most=max(hour.gpu_most for hour in hours) if gpus else None,
        gpu_memory_most=max(hour.gpu_memory_most for hour in hours) if gpus else None,
        gpus_at_work=max(hour.gpus_at_work for hour in hours) if gpus else 0,
    )
