"""Instance types in the Admin panel."""

from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.catalog import services
from apps.catalog.models import InstanceType
from apps.catalog.selectors import list_models, list_types
from apps.catalog.specs import TypeSpec
from apps.core.permissions import Permission
from apps.panels.admin.catalog.common import VIEWS, moves_of, state_of
from apps.panels.found import find
from apps.panels.kit import Column, Empty, Filter, FormPage, Link, Resource, Section, cells

P = Permission


def move_type(actor: Any, kind: InstanceType, event: str) -> InstanceType:
    return services.move_instance_type(actor=actor, kind=kind, event=event)


class TypeList(Resource):
    panel = "admin"
    permission = P.CATALOG_READ
    title = _("Instance types")
    model = InstanceType
    live = "instance_type."
    order = "position"
    search = ("name", "slug", "gpu_model__name")
    search_hint = _("Search by name or GPU model")
    views = VIEWS
    filters: ClassVar = (
        Filter(
            "gpu",
            _("GPU"),
            (("with", _("With GPU")), ("without", _("Without"))),
            query=lambda value: Q(gpus__gt=0) if value == "with" else Q(gpus=0),
        ),
    )
    actions = moves_of(move_type)
    links = (Link(_("Add instance type"), "instance-type-new", P.CATALOG_MANAGE),)
    empty = Empty(_("No instance type yet"), _("Customers choose a type at launch."), links[0], icon="ruler")
    columns = (
        Column("name", _("Name"), lambda one: one.name, sort="name", main=True, to="instance-type"),
        Column("slug", _("Product"), lambda one: cells.mono(one.product), sort="slug", priority=2),
        Column("state", _("State"), state_of, sort="state"),
        Column("vcpus", _("vCPUs"), sort="vcpus", num=True),
        Column(
            "memory",
            _("Memory"),
            lambda one: cells.size(one.memory_mib, "MiB"),
            sort="memory_mib",
            num=True,
            text=lambda one: one.memory_mib,
        ),
        Column(
            "disk",
            _("Disk"),
            lambda one: cells.size(one.disk_gib, "GiB"),
            sort="disk_gib",
            num=True,
            priority=2,
            text=lambda one: one.disk_gib,
        ),
        Column(
            "gpus",
            _("GPUs"),
            lambda one: cells.gpus(one.gpus, one.gpu_model.name if one.gpu_model else ""),
            sort="gpus",
            text=lambda one: one.gpus,
        ),
        Column("position", _("Place in lists"), sort="position", num=True, priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return list_types(actor=self.actor)


class TypeFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Short name"), max_length=60, help_text=_("Prices refer to it; it stays."))
    description = forms.CharField(label=_("Description"), max_length=300, required=False)
    vcpus = forms.IntegerField(label=_("vCPUs"), min_value=1)
    memory_mib = forms.IntegerField(label=_("Memory, in MiB"), min_value=1)
    disk_gib = forms.IntegerField(label=_("Disk, in GiB"), min_value=1)
    gpu_model = forms.ChoiceField(label=_("GPU model"), required=False)
    gpus = forms.IntegerField(label=_("GPUs"), min_value=0, max_value=64, initial=0)
    position = forms.IntegerField(label=_("Place in lists"), min_value=0, max_value=30000, initial=100)


class TypeNew(FormPage):
    panel = "admin"
    permission = P.CATALOG_MANAGE
    title = _("Add instance type")
    form_class = TypeFields
    sections = (
        Section(
            _("Identity"), _("It is sold once it has a price."), ("name", "slug", "description", "position")
        ),
        Section(
            _("Size"),
            _("It never changes under those who run it; make another type instead."),
            ("vcpus", "memory_mib", "disk_gib"),
        ),
        Section(_("GPUs"), _("None, or some of one model."), ("gpu_model", "gpus")),
    )
    submit = _("Add instance type")
    done = _("The type is on offer; give it a price next.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Instance types")), self.url("instance-types"))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        field = form.fields["gpu_model"]
        assert isinstance(field, forms.ChoiceField)
        models = [(str(one.pk), str(one)) for one in list_models(actor=self.actor)]
        field.choices = [("", _("No GPU")), *models]
        return form

    def save(self, data: dict[str, Any]) -> str:
        spec = TypeSpec(gpu_model_id=data.pop("gpu_model") or None, **data)
        services.create_instance_type(actor=self.actor, spec=spec)
        return self.url("instance-types")


class WordFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    description = forms.CharField(label=_("Description"), max_length=300, required=False)
    position = forms.IntegerField(label=_("Place in lists"), min_value=0, max_value=30000)


class TypeEdit(FormPage):
    panel = "admin"
    permission = P.CATALOG_MANAGE
    nav = "instance-types"
    title = _("Describe instance type")
    form_class = WordFields
    submit = _("Save")
    done = _("The type is described anew.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_types(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Instance types")), self.url("instance-types"))]

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.found, name) for name in WordFields.base_fields}

    def save(self, data: dict[str, Any]) -> str:
        services.describe_instance_type(actor=self.actor, kind=self.found, **data)
        return self.url("instance-types")
