"""Which of the catalogue's GPUs a version fits on."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.catalog.models import GpuModel
from apps.core.actor import Actor
from apps.registry import fit
from apps.registry.fit import Fit, Shape
from apps.registry.models import ModelVersion

CONTEXT, BATCH = 8192, 8


@dataclass(frozen=True, slots=True)
class Row:
    """A GPU model, and the fewest of them the version fits on."""

    gpu: GpuModel
    fit: Fit


def shape_of(version: ModelVersion) -> Shape:
    """What of the version decides about memory; unknown facts are 0."""
    return Shape(
        weights_bytes=_weights(version),
        layers=version.layers or 0,
        hidden_size=version.hidden_size or 0,
        heads=version.heads or 0,
        kv_heads=version.kv_heads or version.heads or 0,
        head_dim=version.head_dim or 0,
        vocabulary=version.vocabulary or 0,
        context_length=version.context_length or 0,
        kv_bytes=0 if version.model.modality == "embedding" else 2,
    )


def _weights(version: ModelVersion) -> int:
    """Bytes of weights; until the files are known, what the parameters would take in 16 bits."""
    known = sum(one["size"] for one in version.manifest if one["path"].endswith((".safetensors", ".gguf")))
    return known or 2 * (version.parameters or 0)


def fit_on(
    version: ModelVersion,
    gpu_memory_gib: float,
    *,
    count: int = 1,
    context: int = CONTEXT,
    batch: int = BATCH,
) -> Fit:
    """The version on `count` GPUs of this memory."""
    return fit.fits(shape_of(version), gpu_memory_gib, count, context, batch)


def fit_table(
    *, actor: Actor, version: ModelVersion, context: int = CONTEXT, batch: int = BATCH
) -> list[Row]:
    """Every GPU model of the catalogue with the fewest of them that hold the version."""
    shape = shape_of(version)
    gpus = GpuModel.objects.visible_to(actor).order_by("memory_gib", "slug")
    return [Row(gpu, fit.fewest(shape, gpu.memory_gib, context, batch)) for gpu in gpus]


def smallest_gpus(*, actor: Actor, version_ids: Iterable[str]) -> dict[str, Row]:
    """The least memory that holds each version: a GPU model and how many of it. Two statements."""
    named = list(version_ids)
    gpus = list(GpuModel.objects.visible_to(actor).order_by("memory_gib", "slug")) if named else []
    found = {}
    for version in ModelVersion.objects.visible_to(actor).filter(pk__in=named).select_related("model"):
        shape = shape_of(version)
        rows = [Row(gpu, fit.fewest(shape, gpu.memory_gib, CONTEXT, BATCH)) for gpu in gpus]
        holding = [row for row in rows if row.fit.fits]
        if holding:
            found[str(version.pk)] = min(holding, key=lambda row: row.fit.count * row.gpu.memory_gib)
    return found
