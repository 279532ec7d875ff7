"""GPU models in the Admin panel."""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Count, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.catalog import services
from apps.catalog.models import GpuModel
from apps.catalog.selectors import list_models
from apps.catalog.specs import ModelSpec
from apps.core.permissions import Permission
from apps.panels.found import find
from apps.panels.kit import Column, Empty, FormPage, Link, Resource, Section, cells

P = Permission


class ModelList(Resource):
    panel = "admin"
    permission = P.CATALOG_READ
    title = _("GPU models")
    model = GpuModel
    live = "gpu_model."
    order = "name"
    search = ("name", "vendor", "slug")
    search_hint = _("Search by name or vendor")
    links = (Link(_("Add GPU model"), "gpu-model-new", P.CATALOG_MANAGE),)
    empty = Empty(
        _("No GPU model yet"), _("Models appear with the first node that reports them."), links[0], icon="cpu"
    )
    columns = (
        Column("name", _("Name"), lambda one: one.name, sort="name", main=True, to="gpu-model"),
        Column("vendor", _("Vendor"), sort="vendor"),
        Column("slug", _("Short name"), sort="slug", mono=True, priority=2),
        Column(
            "memory",
            _("Memory"),
            lambda one: cells.size(one.memory_gib, "GiB"),
            sort="memory_gib",
            num=True,
            text=lambda one: one.memory_gib,
        ),
        Column(
            "tflops",
            _("TFLOPS (FP16)"),
            lambda one: cells.number(one.tflops) if one.tflops else cells.NONE,
            sort="tflops",
            num=True,
            priority=2,
        ),
        Column(
            "cards", _("Cards"), lambda one: one.cards, sort="cards", num=True, text=lambda one: one.cards
        ),
    )

    def rows(self) -> QuerySet[Any]:
        return list_models(actor=self.actor)

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        found: QuerySet[Any] = rows.annotate(cards=Count("devices"))
        return found


class ModelFields(forms.Form):
    vendor = forms.CharField(label=_("Vendor"), max_length=40)
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Short name"), max_length=60)
    memory_gib = forms.IntegerField(label=_("Memory, in GiB"), min_value=1, max_value=100_000)
    tflops = forms.IntegerField(label=_("TFLOPS (FP16)"), min_value=0, max_value=10_000_000, required=False)
    has_mig = forms.BooleanField(label=_("Can be partitioned in hardware (MIG)"), required=False)
    aliases = forms.CharField(
        label=_("Also reported as"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One name per line."),
    )

    def clean_aliases(self) -> tuple[str, ...]:
        lines = (line.strip()[:80] for line in self.cleaned_data["aliases"].splitlines())
        return tuple(line for line in lines if line)


class ModelNew(FormPage):
    panel = "admin"
    permission = P.CATALOG_MANAGE
    title = _("Add GPU model")
    form_class = ModelFields
    sections = (
        Section(
            _("Identity"),
            _("Cards that report the short name or one of the other names are of this model."),
            ("vendor", "name", "slug", "aliases"),
        ),
        Section(_("Abilities"), "", ("memory_gib", "tflops", "has_mig")),
    )
    submit = _("Save")
    done = _("The model is in the catalogue.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("GPU models")), self.url("gpu-models"))]

    def save(self, data: dict[str, Any]) -> str:
        services.create_model(actor=self.actor, spec=ModelSpec(**data))
        return self.url("gpu-models")


class ModelEdit(ModelNew):
    nav = "gpu-models"
    title = _("Edit GPU model")
    done = _("The model is changed.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_models(actor=self.actor))

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        form.fields["slug"].disabled = True
        return form

    def initial(self) -> dict[str, Any]:
        known = {name: getattr(self.found, name) for name in ModelFields.base_fields}
        return {**known, "aliases": "\n".join(self.found.aliases)}

    def save(self, data: dict[str, Any]) -> str:
        services.update_model(actor=self.actor, model=self.found, spec=ModelSpec(**data))
        return self.url("gpu-models")
