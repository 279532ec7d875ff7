"""Instance types, images and GPU models in the Admin panel."""

from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.catalog import services
from apps.catalog.models import GpuModel, Image, InstanceType
from apps.catalog.selectors import list_images, list_models, list_types
from apps.catalog.specs import ImageSpec, ModelSpec, TypeSpec
from apps.catalog.states import OFFER, OfferState
from apps.core.permissions import Permission
from apps.panels.found import find
from apps.panels.kit import (
    Action,
    Column,
    Empty,
    Filter,
    FormPage,
    Link,
    Resource,
    SavedView,
    Section,
    cells,
)

P = Permission
VIEWS = (
    SavedView("offered", _("On offer"), ~Q(state=OfferState.RETIRED)),
    SavedView("retired", _("Retired"), Q(state=OfferState.RETIRED)),
)


def state_of(one: Any) -> Any:
    kind = {"deprecated": "warn", "retired": "off"}.get(one.state, "")
    return cells.status(one.state, one.get_state_display(), kind=kind)


def _moves(service: Any) -> tuple[Action, ...]:
    def move(event: str, label: Any, icon: str, confirm: Any = "", *, danger: bool = False) -> Action:
        return Action(
            event,
            label,
            P.CATALOG_MANAGE,
            lambda view, row: service(view.actor, row, event) and None,
            icon=icon,
            when=lambda row: OFFER.allows(event, row.state),
            confirm=confirm,
            danger=danger,
            done=_("The catalogue is changed."),
        )

    return (
        move("publish", _("Publish"), "circle-play"),
        move("deprecate", _("Deprecate"), "circle-pause"),
        move(
            "retire",
            _("Retire"),
            "trash-2",
            _("Nobody launches it any more; what runs goes on."),
            danger=True,
        ),
    )


def move_type(actor: Any, kind: InstanceType, event: str) -> InstanceType:
    return services.move_instance_type(actor=actor, kind=kind, event=event)


def move_image(actor: Any, image: Image, event: str) -> Image:
    return services.move_image(actor=actor, image=image, event=event)


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
    actions = _moves(move_type)
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


class ImageList(Resource):
    panel = "admin"
    permission = P.CATALOG_READ
    title = _("Images")
    model = Image
    live = "image."
    order = "position"
    search = ("name", "slug", "os", "version")
    search_hint = _("Search by name, system or version")
    views = VIEWS
    actions = _moves(move_image)
    links = (Link(_("Add image"), "image-new", P.CATALOG_MANAGE),)
    empty = Empty(_("No image yet"), _("Machines start from an image."), links[0], icon="disc")
    columns = (
        Column("name", _("Name"), lambda one: one.name, sort="name", main=True, to="image"),
        Column("version", _("Version"), sort="version"),
        Column("state", _("State"), state_of, sort="state"),
        Column("os", _("System"), sort="os", priority=2),
        Column("user", _("Signs in as"), lambda one: cells.mono(one.default_user), priority=3),
        Column(
            "drivers",
            _("Drivers"),
            lambda one: cells.tags(one.cluster_kinds) if one.cluster_kinds else _("all"),
            priority=2,
            text=lambda one: " ".join(one.cluster_kinds),
        ),
        Column(
            "size",
            _("Size"),
            lambda one: cells.size(one.size_bytes) if one.size_bytes else cells.NONE,
            sort="size_bytes",
            num=True,
            priority=3,
            text=lambda one: one.size_bytes,
        ),
        Column("position", _("Place in lists"), sort="position", num=True, priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return list_images(actor=self.actor)


KINDS = (("sim", "sim"), ("libvirt", "libvirt"))


class ImageFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    version = forms.CharField(label=_("Version"), max_length=40)
    slug = forms.CharField(label=_("Short name"), max_length=60)
    os = forms.CharField(label=_("System"), max_length=40, help_text=_("Such as debian or ubuntu."))
    description = forms.CharField(label=_("Description"), max_length=300, required=False)
    source = forms.CharField(
        label=_("Source"),
        max_length=500,
        required=False,
        help_text=_("A path the regions' workers can read."),
    )
    checksum = forms.CharField(label=_("Checksum"), max_length=80, required=False, help_text="sha256:…")
    cluster_kinds = forms.MultipleChoiceField(
        label=_("Drivers"), choices=KINDS, required=False, widget=forms.CheckboxSelectMultiple
    )
    min_disk_gib = forms.IntegerField(
        label=_("Least disk, in GiB"), min_value=1, max_value=100_000, initial=4
    )
    min_memory_mib = forms.IntegerField(
        label=_("Least memory, in MiB"), min_value=1, max_value=10_000_000, initial=512
    )
    default_user = forms.CharField(label=_("Signs in as"), max_length=32, initial="user")


class ImageNew(FormPage):
    panel = "admin"
    permission = P.CATALOG_MANAGE
    title = _("Add image")
    form_class = ImageFields
    sections = (
        Section(
            _("Identity"), _("One version of one system."), ("name", "version", "slug", "os", "description")
        ),
        Section(
            _("Bytes"),
            _("Drivers that copy them check the checksum. No driver chosen means all of them."),
            ("source", "checksum", "cluster_kinds"),
        ),
        Section(
            _("Needs"), _("Smaller machines are refused."), ("min_disk_gib", "min_memory_mib", "default_user")
        ),
    )
    submit = _("Add image")
    done = _("The image is on offer.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Images")), self.url("images"))]

    def save(self, data: dict[str, Any]) -> str:
        spec = ImageSpec(**{**data, "cluster_kinds": tuple(data["cluster_kinds"])})
        services.create_image(actor=self.actor, spec=spec)
        return self.url("images")


class ImageEdit(TypeEdit):
    nav = "images"
    title = _("Describe image")
    done = _("The image is described anew.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_images(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Images")), self.url("images"))]

    def save(self, data: dict[str, Any]) -> str:
        services.describe_image(actor=self.actor, image=self.found, **data)
        return self.url("images")


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
        return rows.annotate(cards=Count("devices"))


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
