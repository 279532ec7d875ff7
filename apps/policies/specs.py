"""What is asked of a team's policies and what they answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.policies.states import Access, Level

INSTANCES = "instances"
VCPUS = "vcpus"
MEMORY = "memory_mib"
DISK = "disk_gib"
ENDPOINTS = "endpoints"
ANY_GPU = "gpu:*"
METRICS = (INSTANCES, VCPUS, MEMORY, DISK, ENDPOINTS, ANY_GPU)

# The most that the default resource policy allows a team, everywhere taken together.
STANDARD = {
    INSTANCES: 100, VCPUS: 2048, MEMORY: 16 * 1024 * 1024, DISK: 200_000, ENDPOINTS: 100, ANY_GPU: 64,
}  # fmt: skip


def gpu_metric(slug: str) -> str:
    """The metric that counts GPUs of one model."""
    return f"gpu:{slug}"


@dataclass(frozen=True, slots=True)
class Gate:
    """One of the questions a launch must pass: what was asked, what is left, and the answer in words."""

    code: str
    ok: bool
    asked: str = ""
    left: str = ""
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "ok": self.ok,
            "asked": self.asked,
            "left": self.left,
            "message": str(self.message),
        }


@dataclass(frozen=True, slots=True)
class Demand:
    """Amounts a team wants to use, and where. Negative amounts give back."""

    region_id: str
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    instances: int = 0
    endpoints: int = 0
    gpu_model: str = ""  # slug
    gpus: int = 0
    group_id: str | None = None

    def amounts(self) -> dict[str, int]:
        """Metric → amount, only those that are not zero."""
        found = {
            INSTANCES: self.instances,
            VCPUS: self.vcpus,
            MEMORY: self.memory_mib,
            DISK: self.disk_gib,
            ENDPOINTS: self.endpoints,
        }
        if self.gpu_model:
            found[gpu_metric(self.gpu_model)] = self.gpus
        return {metric: amount for metric, amount in found.items() if amount}

    def places(self) -> list[tuple[str, str]]:
        """(level, target) from the highest down."""
        found = [(Level.GLOBAL.value, ""), (Level.REGION.value, self.region_id)]
        return [*found, (Level.GROUP.value, self.group_id)] if self.group_id else found


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of a resource policy. `target` is a region or group id, "" for all of that level."""

    level: str
    target: str
    metric: str
    access: str
    maximum: int | None = None

    @property
    def ceiling(self) -> int | None:
        """How much at most; None is unlimited."""
        if self.access == Access.UNLIMITED:
            return None
        return 0 if self.access == Access.NONE else self.maximum


@dataclass(frozen=True, slots=True)
class Limits:
    """The lines of one resource policy, asked by place and metric."""

    lines: Mapping[tuple[str, str, str], Limit] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Iterable[Limit]) -> "Limits":
        return cls({(one.level, one.target, one.metric): one for one in lines})

    def find(self, level: str, target: str, metric: str) -> Limit | None:
        """The most particular line: this place before all places, this model before any model."""
        metrics = (metric, ANY_GPU) if metric.startswith("gpu:") else (metric,)
        for one in metrics:
            for place in dict.fromkeys((target, "")):
                if (level, place, one) in self.lines:
                    return self.lines[level, place, one]
        return None

    def ceiling(self, level: str, target: str, metric: str) -> int | None:
        found = self.find(level, target, metric)
        return None if found is None else found.ceiling


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of many a policy lets through: all, or those named."""

    is_open: bool = True
    slugs: frozenset[str] = frozenset()

    def allows(self, slug: str) -> bool:
        return self.is_open or slug in self.slugs


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a team's policies say of a launch; `used` is (level, target, metric) → amount in use."""

    types: Choice
    images: Choice
    limits: Limits
    used: Mapping[tuple[str, str, str], int]


@dataclass(frozen=True, slots=True)
class UsedLimit:
    """A line of a policy and how much of it one team uses."""

    limit: Limit
    used: int
