"""The catalogue as the APIs show it."""

import django_filters
from rest_framework import serializers

from apps.api.fields import RowOut
from apps.catalog.models import GpuModel, Image, InstanceType
from apps.catalog.states import OfferState


class OfferFilters(django_filters.FilterSet):
    """What types and images may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=OfferState.choices)


class TypeOut(RowOut):
    """A shape: what a machine of it has."""

    gpu_model = serializers.CharField(source="gpu_model.slug", read_only=True, allow_null=True, default=None)
    product = serializers.CharField(read_only=True)

    class Meta:
        model = InstanceType
        fields: tuple[str, ...] = (
            "id", "slug", "name", "description", "vcpus", "memory_mib", "disk_gib", "gpu_model", "gpus",
            "product", "state",
        )  # fmt: skip


class StaffTypeOut(TypeOut):
    """A shape, with what only staff needs."""

    class Meta(TypeOut.Meta):
        fields = (*TypeOut.Meta.fields, "cluster_kinds", "position", "created_at")


class ImageOut(RowOut):
    """One version of one system to start from."""

    class Meta:
        model = Image
        fields: tuple[str, ...] = (
            "id", "slug", "name", "version", "os", "description", "min_disk_gib", "min_memory_mib",
            "default_user", "size_bytes", "state",
        )  # fmt: skip


class StaffImageOut(ImageOut):
    """An image, with where its bytes are."""

    class Meta(ImageOut.Meta):
        fields = (*ImageOut.Meta.fields, "checksum", "source", "cluster_kinds", "position", "created_at")


class ModelOut(RowOut):
    """A kind of GPU."""

    class Meta:
        model = GpuModel
        fields = ("id", "slug", "vendor", "name", "memory_gib", "tflops", "has_mig", "aliases")
