"""What is wanted of the fleet and what was given."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wanted:
    """A machine's needs and where they may be met. Ids are typed; None means any."""

    region_id: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    gpu_model_id: str | None = None
    gpus: int = 0
    pool_id: str | None = None
    isolation: str | None = None
    zone_id: str | None = None
    cluster_kinds: tuple[str, ...] | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where it fits, held until released."""

    reservation_id: str
    cluster_id: str
    node_id: str
    node_name: str
    pool_id: str | None = None
    slice_ids: tuple[str, ...] = ()
    pci_addresses: tuple[str, ...] = ()
    isolation: str = ""  # of the pool; "" without GPUs


@dataclass(frozen=True, slots=True)
class PoolOnNode:
    """What a pool has free on a node: whole cards on which at least one slice is free."""

    pool_id: str
    model_id: str
    team_id: str | None
    isolation: str
    packing: str
    is_open: bool
    free: int
    cards: int
    model_slug: str = ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the planner sees it: what is left of it."""

    id: str
    name: str
    cluster_id: str
    zone_id: str | None
    kind: str
    state: str
    health: str
    is_cluster_open: bool
    vcpus: int
    memory_mib: int
    disk_gib: int
    vcpus_left: int
    memory_mib_left: int
    disk_gib_left: int
    has_gpus: bool = False
    group_ids: frozenset[str] = frozenset()
    pools: tuple[PoolOnNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A region at a moment."""

    region_id: str
    is_open: bool
    is_frozen: bool
    nodes: tuple[NodeView, ...] = ()


@dataclass(frozen=True, slots=True)
class FreeSlice:
    """A slice that can be held, with what decides between it and others."""

    id: str
    device_id: str
    pci_address: str
    numa_node: int
    free_on_device: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and the pool on it, that would do."""

    node: NodeView
    pool: PoolOnNode | None
    score: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that would do, best first, and why the others would not (reason → how many nodes)."""

    candidates: tuple[Candidate, ...] = ()
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pool to be made."""

    slug: str
    name: str
    gpu_model_id: str
    team_id: str | None = None
    isolation: str = "passthrough"
    sharing_ratio: int = 1
    time_quantum_s: int = 30
    security_level: str = "medium"
    placement: str = "binpack"


@dataclass(frozen=True, slots=True)
class RatioImpact:
    """What another sharing ratio would do to a pool. Memory in GiB, on the hosts."""

    cards: int
    slots_before: int
    slots_after: int
    held: int
    in_the_way: int
    memory_needed_gib: int
    nodes_short_of_memory: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolFill:
    """How full a pool is: cards, slots and what is held of them."""

    cards: int = 0
    slots: int = 0
    held: int = 0

    @property
    def free(self) -> int:
        return max(self.slots - self.held, 0)


@dataclass(frozen=True, slots=True)
class RoomInRegion:
    """How many machines of a type fit a region now, and why none does."""

    region_id: str
    room: int
    why_not: str = ""
