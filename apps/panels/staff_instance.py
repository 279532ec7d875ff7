"""A machine's page as staff sees it, the same in the Admin and the Cluster panel."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.instances.models import Instance
from apps.operations.models import Event
from apps.operations.selectors import operations_of
from apps.panels import instances, operations, words
from apps.panels.kit import Detail, Events, Facts, Happened, Steps, Tab, cells


class StaffInstance(Detail):
    """A customer's machine with what only staff sees: where it runs, what it wants, who asked for it."""

    permission = Permission.INSTANCE_READ
    model = Instance
    live = "instance. operation."
    tabs: ClassVar = (Tab("overview", _("Overview")), Tab("events", _("Events"), Permission.EVENT_READ))
    actions = (instances.START, instances.STOP, instances.REBOOT, instances.DELETE)

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("region", "cluster", "node", "type__gpu_model", "image")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Instances")), self.url("instances"))]

    def status(self) -> Any:
        return instances.state_of(self.object)

    def meta(self) -> list[Any]:
        one = self.object
        return [instances.gpus_of(one), one.type.name, cells.mono(one.node.name), one.team_name]

    def main_overview(self) -> list[Any]:
        latest = operations_of(actor=self.actor, target_id=self.object.pk).first()
        if latest is None:
            return [self._events(20)]
        steps = operations.steps_of(list(latest.steps.all()))
        note = latest.error_message
        elapsed = operations.seconds_of(latest) if latest.is_open else None
        return [Steps(words.kind(latest.kind), steps, note=note, elapsed=elapsed), self._events(10)]

    def aside_overview(self) -> list[Any]:
        one = self.object
        rows = [
            (_("Team"), one.team_name),
            (_("Launched by"), one.created_by_label),
            (_("Region"), cells.mono(one.region.slug)),
            (_("Cluster"), one.cluster.name),
            (_("Node"), cells.mono(one.node.name)),
            (_("Health"), cells.status(one.health, one.get_health_display())),
            (
                _("Size"),
                f"{one.vcpus} vCPU, {cells.size(one.memory_mib, 'MiB')}, {cells.size(one.disk_gib, 'GiB')}",
            ),
            (_("GPUs"), cells.tags(one.pci_addresses) if one.pci_addresses else None),
            (_("Image"), str(one.image)),
            (_("Address"), cells.mono(one.address)),
            (_("Wanted"), one.get_desired_display()),
            (_("Message"), one.message or None),
            (_("Last error"), one.last_error or None),
            (_("Created"), cells.exact(one.created_at)),
            (_("Last seen"), cells.when(one.proof_at)),
            (_("Id"), cells.mono(one.pk)),
        ]
        return [Facts(_("Details"), rows)]

    def main_events(self) -> list[Any]:
        return [self._events(100)]

    def _events(self, most: int) -> Events:
        rows = Event.objects.visible_to(self.actor).filter(subject=self.object.pk).order_by("-seq")[:most]
        lines = [Happened(words.event(one.type), one.at, operations.reason_of(one.data)) for one in rows]
        return Events(_("What happened"), lines)
