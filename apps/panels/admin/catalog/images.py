"""Images in the Admin panel."""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.catalog import services
from apps.catalog.models import Image
from apps.catalog.selectors import list_images
from apps.catalog.specs import ImageSpec
from apps.core.permissions import Permission
from apps.panels.admin.catalog.common import VIEWS, moves_of, state_of
from apps.panels.admin.catalog.types import TypeEdit
from apps.panels.found import find
from apps.panels.kit import Column, Empty, FormPage, Link, Resource, Section, cells

P = Permission


def move_image(actor: Any, image: Image, event: str) -> Image:
    return services.move_image(actor=actor, image=image, event=event)


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
    actions = moves_of(move_image)
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
