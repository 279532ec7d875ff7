"""The small forms about one machine."""

from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.catalog.models import InstanceType
from apps.core.permissions import Permission
from apps.instances import selectors, services
from apps.instances.models import Instance
from apps.panels.kit import FormPage, Section, cells


class RenameFields(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=63, help_text=_("Lower-case letters, digits and dashes.")
    )


class ResizeFields(forms.Form):
    type = forms.ChoiceField(label=_("Type"))
    disk_gib = forms.IntegerField(label=_("Disk, GiB"), min_value=1, max_value=16_384)

    def __init__(self, instance: Instance, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        same = InstanceType.objects.launchable().filter(
            gpu_model=instance.type.gpu_model_id, gpus=instance.gpus
        )
        kinds = {one.slug: one.name for one in [instance.type, *same]}
        self.fields["type"].choices = list(kinds.items())  # type: ignore[attr-defined]


class SnapshotFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=63)


class _OfInstance(FormPage):
    """A form about one machine; the machine is found in scope first."""

    panel = "console"
    nav = "instances"
    tab: ClassVar[str]

    @cached_property
    def instance(self) -> Instance:
        found = selectors.get_instance(actor=self.actor, instance_id=self.pk)
        self.place.narrow(Instance.objects.visible_to(self.actor)).get(pk=found.pk)
        return found

    def crumbs(self) -> list[tuple[str, str]]:
        page = self.url("instance", pk=self.pk)
        return [(str(_("Instances")), self.url("instances")), (self.instance.name, f"{page}?tab={self.tab}")]


class Rename(_OfInstance):
    permission = Permission.INSTANCE_UPDATE
    title = _("Rename")
    submit = _("Rename")
    form_class = RenameFields
    tab = "settings"
    done = _("Renamed.")

    def initial(self) -> dict[str, Any]:
        return {"name": self.instance.name}

    def save(self, data: dict[str, Any]) -> str:
        services.rename_instance(actor=self.actor, instance_id=self.instance.pk, name=data["name"])
        return self.url("instance", pk=self.pk)


class Resize(_OfInstance):
    permission = Permission.INSTANCE_UPDATE
    title = _("Resize")
    submit = _("Resize")
    tab = "settings"
    form_class = ResizeFields
    done = _("Accepted: the machine is being changed.")
    sections = (
        Section(
            _("Size"),
            _("A disk only grows. Another type needs a stopped machine; its GPUs stay what they are."),
            ("type", "disk_gib"),
            note=lambda view: view.price_note,
        ),
    )

    @property
    def price_note(self) -> Any:
        hourly = cells.price(self.instance.hourly, self.instance.currency)
        return _("It costs %(hourly)s per hour now; from the change on, the new size is charged.") % {
            "hourly": hourly
        }

    def form(self, data: Any = None) -> forms.Form:
        one = self.instance
        return ResizeFields(one, data, initial={"type": one.type.slug, "disk_gib": one.disk_gib})

    def save(self, data: dict[str, Any]) -> str:
        services.resize_instance(
            actor=self.actor, instance_id=self.instance.pk, type_slug=data["type"], disk_gib=data["disk_gib"]
        )
        return self.url("instance", pk=self.pk)


class TakeSnapshot(_OfInstance):
    permission = Permission.INSTANCE_OPERATE
    title = _("Take a snapshot")
    submit = _("Take a snapshot")
    form_class = SnapshotFields
    tab = "snapshots"

    def save(self, data: dict[str, Any]) -> str:
        services.create_snapshot(actor=self.actor, instance_id=self.instance.pk, name=data["name"])
        return f"{self.url('instance', pk=self.pk)}?tab=snapshots"
