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


class Endpoint(TypedDict):
    """A model behind a name; `wanted` replicas shall answer, `ready` do."""

    id: str
    name: str
    state: str
    message: str
    model_name: str
    region: str
    wanted: int
    ready: int
    scale: dict[str, Any]
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
    manifest: list[Manifest]
    size_bytes: int
    digest: str


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
