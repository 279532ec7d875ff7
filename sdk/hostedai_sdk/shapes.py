"""What the API gives, as far as this client uses it; more fields may come."""

from typing import Any, TypedDict


class Instance(TypedDict):
    """A machine."""

    id: str
    name: str
    state: str
    message: str
    region: str
    type: str
    image: str
    address: str
    ssh_port: int
    user: str
    hourly: str
    currency: str
    created_at: str


class Revision(TypedDict):
    """What replicas are, or were, made of."""

    id: str
    number: int
    model_name: str
    version_id: str
    hardware: str
    context_length: int
    parallel: int
    is_revoked: bool
    created_at: str


class Hardware(TypedDict):
    """What replicas may run on: where, and at which price of an hour (None: it has none)."""

    id: str
    slug: str
    name: str
    vcpus: int
    memory_mib: int
    gpus: int
    gpu_model: str | None
    formats: list[str]
    regions: list[str]
    hourly: str | None
    currency: str


class Endpoint(TypedDict):
    """A model behind a name; `wanted` replicas shall answer, `ready` do. `canary_weight` is the share of the
    requests, in percent, that something else answers on trial."""

    id: str
    name: str
    state: str
    message: str
    model_name: str
    region: str
    wanted: int
    ready: int
    scale: dict[str, Any]
    revision: Revision | None
    canary_weight: int
    hourly: str
    currency: str
    operation_id: str | None
    created_at: str


class EngineLog(TypedDict):
    """The last lines of an engine, as they were at `read_at`; `is_following`: more may come."""

    replica_id: str
    text: str
    read_at: str | None
    is_following: bool


class Newest(TypedDict):
    """The version that stands for a model in lists."""

    id: str
    number: int
    state: str
    format: str
    size_bytes: int
    parameters: int | None
    context_length: int | None


class Model(TypedDict):
    """A model; `team_id` is None for the provider's own."""

    id: str
    slug: str
    name: str
    licence: str
    visibility: str
    team_id: str | None
    is_own: bool
    versions: int
    newest: Newest | None


class Manifest(TypedDict):
    """One file of a servable version."""

    path: str
    size: int
    sha256: str


class Version(TypedDict):
    """A version of a model."""

    id: str
    model_id: str
    number: int
    state: str
    origin: str
    message: str
    format: str
    manifest: list[Manifest]
    size_bytes: int
    digest: str
    operation_id: str | None


class Alias(TypedDict):
    """A name for a version, which may be moved."""

    id: str
    name: str
    version_id: str
    number: int


class Fit(TypedDict):
    """The fewest GPUs of a model that a version fits on, or why it does not; GiB are for each GPU."""

    gpu: str
    gpu_memory_gib: float
    count: int
    fits: bool
    reason: str
    weights_gib: float
    kv_gib: float
    usable_gib: float
    most_context: int


class File(TypedDict):
    """A file of an upload; parts are numbered from 1."""

    id: str
    path: str
    size: int
    sha256: str
    state: str
    part_size: int
    parts: int


class Address(TypedDict):
    """Where one part goes."""

    number: int
    url: str
    length: int
