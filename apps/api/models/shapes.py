"""What the APIs take and give of models, versions, files and aliases."""

from dataclasses import asdict
from typing import Any

import django_filters
from rest_framework import serializers

from apps.api.fields import In, Out, RowOut, TypedIdField
from apps.core.actor import PLATFORM
from apps.registry.models import Model, ModelVersion, VersionFile
from apps.registry.selectors.reading import SHOWN
from apps.registry.states import Format, Modality, State, Visibility


class ModelFilters(django_filters.FilterSet):
    """What models may be asked for."""

    name = django_filters.CharFilter(lookup_expr="icontains")
    slug = django_filters.CharFilter()
    modality = django_filters.ChoiceFilter(choices=Modality.choices)
    visibility = django_filters.ChoiceFilter(choices=Visibility.choices)


class NewestOut(Out):
    """The version that a card shows: the newest servable one, or the newest of all."""

    id = TypedIdField("mdv")
    number = serializers.IntegerField()
    state = serializers.ChoiceField(choices=State.choices)
    format = serializers.ChoiceField(choices=[*Format.choices, ("", "")])
    architecture = serializers.CharField()
    size_bytes = serializers.IntegerField()
    parameters = serializers.IntegerField(allow_null=True)
    context_length = serializers.IntegerField(allow_null=True)
    dtype = serializers.CharField()


class RegistryModelOut(RowOut):
    """A model. `team` is null for the provider's own; `newest` is null while it has no version."""

    team_id = TypedIdField("team", allow_null=True, help_text="Whose it is; null: the provider's.")
    is_own = serializers.SerializerMethodField(
        help_text="Whether it is the team's (in the Admin API: the provider's), not one that was shared."
    )
    created_by = serializers.CharField(source="created_by_label")
    versions = serializers.IntegerField(source="version_count")
    newest = serializers.SerializerMethodField()

    class Meta:
        model = Model
        fields = (
            *("id", "slug", "name", "description", "licence", "modality", "visibility", "team_id"),
            *("is_own", "is_demo", "versions", "newest", "created_by", "created_at"),
        )

    def get_is_own(self, model: Any) -> bool:
        return bool((model.team_id or PLATFORM.id) == self.context["view"].scope.id)

    def get_newest(self, model: Any) -> NewestOut(allow_null=True):  # type: ignore[valid-type]
        if model.newest_pk is None:
            return None
        facts = {name: getattr(model, f"newest_{name}") for name in SHOWN}
        return NewestOut({**facts, "id": facts["pk"]}).data


class RegistryModelIn(In):
    """`slug` is how callers name it; it stays."""

    slug = serializers.CharField(max_length=80)
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    licence = serializers.CharField(max_length=80, required=False, allow_blank=True)
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)


class ChangesIn(In):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    licence = serializers.CharField(max_length=80, required=False, allow_blank=True)
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)


class ShareIn(In):
    """Who may use it. `teams` are addresses or ids, for visibility `teams`."""

    visibility = serializers.ChoiceField(choices=Visibility.choices)
    teams = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=500)


class ManifestOut(Out):
    """One file of a servable version."""

    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class VersionOut(RowOut):
    """A version. `manifest` and what follows from it are known once it is verified, and never change."""

    created_by = serializers.CharField(source="created_by_label")
    manifest = ManifestOut(many=True)

    class Meta:
        model = ModelVersion
        fields = (
            *("id", "model_id", "number", "state", "origin", "source", "revision", "note", "message"),
            *("format", "manifest", "size_bytes", "digest", "architecture", "parameters", "context_length"),
            *("dtype", "layers", "heads", "kv_heads", "head_dim", "vocabulary", "has_chat_template"),
            *("operation_id", "created_by", "created_at", "state_at"),
        )


class FileIn(In):
    """A file that will be sent; with its SHA-256, damage on the way is found."""

    path = serializers.CharField(max_length=300)
    size = serializers.IntegerField(min_value=1)
    sha256 = serializers.CharField(max_length=64, required=False, allow_blank=True)


class UploadIn(In):
    """`draft` names a version that failed before and is to be tried again."""

    files = FileIn(many=True, allow_empty=False)
    note = serializers.CharField(max_length=300, required=False, allow_blank=True)
    draft = TypedIdField("mdv", required=False)


class ImportIn(In):
    """A repository of the provider's hub. `files` are names or patterns; without them one set of weights."""

    repository = serializers.CharField(max_length=200, help_text="`organisation/model`.")
    revision = serializers.CharField(max_length=100, required=False)
    files = serializers.ListField(child=serializers.CharField(max_length=300), required=False, max_length=500)
    token = serializers.CharField(
        max_length=200, required=False, help_text="For gated models; sealed, and forgotten afterwards."
    )
    draft = TypedIdField("mdv", required=False)


class WhyIn(In):
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True)


class FitIn(In):
    """`context_length` in tokens per request, `batch` in requests at once."""

    context_length = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False)
    batch = serializers.IntegerField(min_value=1, max_value=4096, required=False)


class FitRowOut(Out):
    """The fewest of a GPU model that the version fits on (or the most that were tried); GiB per GPU."""

    gpu = serializers.CharField()
    gpu_memory_gib = serializers.FloatField()
    count = serializers.IntegerField()
    fits = serializers.BooleanField()
    reason = serializers.ChoiceField(choices=["", "weights", "cache", "heads", "unknown"])
    weights_gib = serializers.FloatField()
    kv_gib = serializers.FloatField()
    overhead_gib = serializers.FloatField()
    usable_gib = serializers.FloatField()
    context_length = serializers.IntegerField(source="context")
    batch = serializers.IntegerField()
    most_context = serializers.IntegerField()
    most_batch = serializers.IntegerField()

    def to_representation(self, instance: Any) -> Any:
        found = super().to_representation({**asdict(instance.fit), "gpu": instance.gpu.slug})
        return {name: round(one, 3) if isinstance(one, float) else one for name, one in found.items()}


class FitOut(Out):
    items = FitRowOut(many=True)


class FileOut(RowOut):
    """A file of a version that is not servable yet. Parts are numbered from 1; all but the last have
    `part_size` bytes. `arrived` is what the portal has noticed."""

    parts = serializers.IntegerField()

    class Meta:
        model = VersionFile
        fields = ("id", "path", "size", "sha256", "state", "part_size", "parts", "arrived")


class PartsIn(In):
    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1), allow_empty=False, max_length=1000
    )


class AddressOut(Out):
    """PUT exactly `length` bytes there; the address works for hours and needs no other credentials."""

    number = serializers.IntegerField()
    url = serializers.CharField()
    length = serializers.IntegerField()


class AddressesOut(Out):
    parts = AddressOut(many=True)


class PartOut(Out):
    number = serializers.IntegerField()
    size = serializers.IntegerField()


class PartsOut(Out):
    """What the store has of the file."""

    parts = PartOut(many=True)


class AliasIn(In):
    """Point `name` at a version of the model."""

    name = serializers.CharField(max_length=40)
    version = TypedIdField("mdv")


class AliasOut(Out):
    id = TypedIdField("mda")
    name = serializers.CharField()
    version_id = TypedIdField("mdv")
    number = serializers.IntegerField(source="version.number")
    moved_at = serializers.DateTimeField()
