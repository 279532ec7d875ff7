"""Values that travel between nodes and whoever stands above them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capacity:
    """An amount of a host's resources."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0


@dataclass(frozen=True, slots=True)
class Occupant:
    """A machine on a node, as the page that asks before draining shows it."""

    id: str
    name: str
    team: str
    state: str
    gpus: int = 0
    consequence: str = ""  # what draining does to it, in words
