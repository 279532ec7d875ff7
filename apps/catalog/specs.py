"""What is wanted of the catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """A shape; with GPUs it names their model."""

    slug: str
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    gpu_model_id: str | None = None
    gpus: int = 0
    description: str = ""
    cluster_kinds: tuple[str, ...] = ()
    position: int = 100


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One version of one system."""

    slug: str
    name: str
    version: str
    os: str
    source: str = ""
    checksum: str = ""
    size_bytes: int = 0
    min_disk_gib: int = 1
    min_memory_mib: int = 128
    default_user: str = "user"
    description: str = ""
    cluster_kinds: tuple[str, ...] = ()
    position: int = 100


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A kind of GPU; `aliases` are the names under which drivers report it."""

    slug: str
    vendor: str
    name: str
    memory_gib: int
    tflops: int | None = None
    has_mig: bool = False
    aliases: tuple[str, ...] = ()
