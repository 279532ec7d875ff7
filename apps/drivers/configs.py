"""What each kind of cluster must be told, checked without its SDK."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from apps.drivers.errors import Rejected

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00\n]*$", max_length=500)]
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=63)]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimNodes(_Config):
    """A group of equal simulated hosts, named `<prefix>-<nn>` from 01."""

    prefix: Slug = "sim"
    count: int = Field(default=2, ge=1, le=2000)
    vcpus: int = Field(default=64, ge=1, le=4096)
    memory_gib: int = Field(default=512, ge=1, le=65536)
    disk_gib: int = Field(default=8000, ge=1, le=1_000_000)
    gpus: int = Field(default=0, ge=0, le=64)
    gpu_vendor: str = "nvidia"
    gpu_model: str = ""
    gpu_memory_gib: int = Field(default=80, ge=0, le=4096)
    zone: str = ""
    rack: str = ""


class SimConfig(_Config):
    """A simulated cloud. All processes that name the same `path` and `world` see the same one."""

    path: AbsolutePath  # SQLite file, made when missing
    world: Slug = "default"  # several clusters may live in one file
    seed: int = 0
    nodes: tuple[SimNodes, ...] = (SimNodes(),)
    boot_seconds: float = Field(default=2.0, ge=0, le=3600)  # virtual
    stop_seconds: float = Field(default=1.0, ge=0, le=3600)
    delete_seconds: float = Field(default=0.5, ge=0, le=3600)
    latency_ms: int = Field(default=0, ge=0, le=60_000)  # real time spent in every call


class LibvirtConfig(_Config):
    """One libvirt endpoint beside which the region's worker runs."""

    uri: str = "qemu:///system"
    virt_type: Literal["auto", "kvm", "qemu", "xen"] = "auto"
    network: Slug = "default"  # a libvirt network; guests get their address from its DHCP
    storage_dir: AbsolutePath = "/var/lib/hostedai/libvirt"  # images, disks and seeds of our machines
    node: Slug | None = None  # what the host is called; its own name unless given
    cpu_mode: Literal["auto", "host-passthrough", "host-model", "maximum", "hypervisor-default"] = "auto"
    reserved_memory_mib: int = Field(default=1024, ge=0)  # kept back for the host in the inventory

    @field_validator("uri")
    @classmethod
    def _is_known(cls, uri: str) -> str:
        scheme = uri.split(":", 1)[0].split("+", 1)[0]
        if scheme not in {"qemu", "xen"} or "://" not in uri:
            raise ValueError("must be a qemu or xen address such as qemu:///system")
        return uri


class LocalConfig(_Config):
    """Engines as processes of the host on which the region's worker runs, reached by loopback only."""

    folder: AbsolutePath = "/var/lib/hostedai/engines"  # engines, and the models they serve
    most_engines: int = Field(default=8, ge=1, le=256)


class AgentsConfig(_Config):
    """Hosts that report themselves need no word here."""


AnyConfig = SimConfig | LibvirtConfig | LocalConfig | AgentsConfig
_CONFIGS: dict[str, type[_Config]] = {
    "sim": SimConfig,
    "libvirt": LibvirtConfig,
    "local": LocalConfig,
    "agents": AgentsConfig,
}


def validate(kind: str, config: Mapping[str, object]) -> AnyConfig:
    """The checked config of a cluster; `Rejected` names every field that is wrong."""
    model = _CONFIGS.get(kind)
    if model is None:
        raise Rejected(f"There is no driver called “{kind}”; choose one of {', '.join(sorted(_CONFIGS))}.")
    try:
        checked = model.model_validate(dict(config))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors()]
        raise Rejected("The configuration is not valid. " + "; ".join(lines), detail=str(error)) from error
    assert isinstance(checked, AnyConfig)
    return checked
