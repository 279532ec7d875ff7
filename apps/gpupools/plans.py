"""The demonstration's supply, as tables: three simulated regions, what they hold and what they offer."""

from dataclasses import dataclass

from apps.catalog.specs import ImageSpec, ModelSpec, TypeSpec


@dataclass(frozen=True, slots=True)
class Rack:
    """Equal nodes in one rack; `model` "" is a rack without GPUs."""

    prefix: str
    rack: str
    zone: str
    count: int
    model: str = ""
    gpus: int = 8
    vcpus: int = 192
    memory_gib: int = 1536


@dataclass(frozen=True, slots=True)
class Place:
    slug: str
    name: str
    location: str
    country: str
    racks: tuple[Rack, ...]
    shared: tuple[tuple[str, int], ...] = ()  # models that are sold in shares, and in how many


PLACES = (
    Place(
        "hel-1",
        "Helsinki 1",
        "Helsinki, Finland",
        "FI",
        (
            Rack("h100-a", "A1", "hel-1a", 4, "h100-80gb"),
            Rack("h100-b", "B1", "hel-1b", 4, "h100-80gb"),
            Rack("h200-a", "A2", "hel-1a", 4, "h200-141gb"),
            Rack("b200-b", "B2", "hel-1b", 4, "b200-180gb", vcpus=224, memory_gib=2048),
            Rack("l40s-a", "A3", "hel-1a", 3, "l40s-48gb", 4, vcpus=64, memory_gib=512),
            Rack("cpu-b", "B3", "hel-1b", 2, vcpus=128, memory_gib=512),
        ),
    ),
    Place(
        "fra-1",
        "Frankfurt 1",
        "Frankfurt am Main, Germany",
        "DE",
        (
            Rack("a100-a", "A1", "fra-1a", 4, "a100-80gb", vcpus=128, memory_gib=1024),
            Rack("a100-b", "B1", "fra-1b", 4, "a100-80gb", vcpus=128, memory_gib=1024),
            Rack("h100-a", "A2", "fra-1a", 5, "h100-80gb"),
            Rack("l40s-b", "B2", "fra-1b", 4, "l40s-48gb", 4, vcpus=64, memory_gib=1024),
            Rack("cpu-a", "A3", "fra-1a", 2, vcpus=128, memory_gib=512),
        ),
        (("l40s-48gb", 4),),
    ),
    Place(
        "nyc-1",
        "New York 1",
        "New York, United States",
        "US",
        (
            Rack("mi300-a", "A1", "nyc-1a", 5, "mi300x-192gb", vcpus=192, memory_gib=2048),
            Rack("a100-a", "A2", "nyc-1a", 3, "a100-80gb", vcpus=128, memory_gib=1024),
            Rack("h200-b", "B1", "nyc-1b", 3, "h200-141gb"),
            Rack("cpu-b", "B2", "nyc-1b", 2, vcpus=128, memory_gib=512),
        ),
    ),
)

MODELS = (
    ModelSpec("b200-180gb", "NVIDIA", "B200", 180, 2250, True, ("NVIDIA B200",)),
    ModelSpec("h200-141gb", "NVIDIA", "H200", 141, 989, True, ("NVIDIA H200",)),
    ModelSpec("h100-80gb", "NVIDIA", "H100", 80, 989, True, ("NVIDIA H100 80GB HBM3",)),
    ModelSpec("a100-80gb", "NVIDIA", "A100", 80, 312, True, ("NVIDIA A100-SXM4-80GB",)),
    ModelSpec("l40s-48gb", "NVIDIA", "L40S", 48, 362, False, ("NVIDIA L40S",)),
    ModelSpec("mi300x-192gb", "AMD", "Instinct MI300X", 192, 1307, False, ("AMD Instinct MI300X",)),
)

# GPU model → name, price of one per hour in EUR, vCPUs, memory and disk that go with each.
_WITH_GPU = {
    "h100-80gb": ("H100", "2.49", 22, 180, 250),
    "h200-141gb": ("H200", "3.29", 22, 180, 250),
    "b200-180gb": ("B200", "4.99", 26, 240, 500),
    "a100-80gb": ("A100", "1.49", 14, 110, 200),
    "l40s-48gb": ("L40S", "0.89", 12, 90, 150),
    "mi300x-192gb": ("MI300X", "2.79", 22, 240, 250),
}
_WITHOUT = (
    ("cpu-2", "CPU 2", 2, 4, 20, "0.024"),
    ("cpu-4", "CPU 4", 4, 16, 40, "0.072"),
    ("cpu-8", "CPU 8", 8, 32, 80, "0.144"),
    ("cpu-16", "CPU 16", 16, 64, 160, "0.288"),
)
_COUNTS = {"l40s-48gb": (1, 2, 4)}

TINY = TypeSpec(
    "tiny", "Tiny", 1, 512, 2, description="The smallest machine, for trying things out.", position=1
)

# Product of an hour of each type → its price in EUR.
PRICES = {
    "type:tiny": "0.006",
    **{f"type:{slug}": price for slug, *_size, price in _WITHOUT},
    **{
        f"type:{model}-{count}": str(round(float(price) * count, 2))
        for model, (_name, price, *_size) in _WITH_GPU.items()
        for count in _COUNTS.get(model, (1, 2, 4, 8))
    },
}


def types(models: dict[str, str]) -> list[TypeSpec]:
    """Every shape on offer; `models` is slug → id."""
    found = [TINY]
    for place, (slug, name, vcpus, memory, disk, _price) in enumerate(_WITHOUT):
        found.append(TypeSpec(slug, name, vcpus, memory * 1024, disk, position=10 + place))
    for place, (model, (name, _price, vcpus, memory, disk)) in enumerate(_WITH_GPU.items()):
        for count in _COUNTS.get(model, (1, 2, 4, 8)):
            found.append(
                TypeSpec(
                    f"{model}-{count}",
                    f"{count}× {name}",
                    vcpus * count,
                    memory * count * 1024,
                    disk * count,
                    gpu_model_id=models[model],
                    gpus=count,
                    position=100 + 10 * place + count,
                )
            )
    return found


IMAGES = (
    ImageSpec(
        "ubuntu-24.04",
        "Ubuntu",
        "24.04 LTS",
        "ubuntu",
        min_disk_gib=4,
        min_memory_mib=512,
        default_user="ubuntu",
        cluster_kinds=("sim",),
        position=10,
    ),
    ImageSpec(
        "ubuntu-24.04-cuda",
        "Ubuntu with CUDA",
        "24.04 / 12.8",
        "ubuntu",
        min_disk_gib=20,
        min_memory_mib=2048,
        default_user="ubuntu",
        description="NVIDIA driver, CUDA toolkit and container runtime.",
        cluster_kinds=("sim",),
        position=20,
    ),
    ImageSpec(
        "debian-13",
        "Debian",
        "13",
        "debian",
        min_disk_gib=2,
        min_memory_mib=256,
        default_user="debian",
        cluster_kinds=("sim",),
        position=30,
    ),
    ImageSpec(
        "rocky-9",
        "Rocky Linux",
        "9",
        "rocky",
        min_disk_gib=10,
        min_memory_mib=1024,
        default_user="rocky",
        cluster_kinds=("sim",),
        position=40,
    ),
)
