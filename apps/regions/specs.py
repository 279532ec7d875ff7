"""What is wanted of a new cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One endpoint of one driver. `credentials` are configuration too, but sealed and never shown."""

    slug: str
    name: str
    kind: str
    config: Mapping[str, Any]
    credentials: Mapping[str, Any] = field(default_factory=dict)
    zone_id: str | None = None
    auto_enrol: bool = False
