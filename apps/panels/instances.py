"""What the lists and pages of instances share in all three panels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.instances import services
from apps.instances.models import Instance
from apps.instances.states import MOVING, Desired, Health, State
from apps.panels.kit import Action, Column, Empty, Filter, Resource, SavedView, cells, moment
from apps.panels.kit.palette import LIMIT, SOURCES, Hit, Source
from apps.panels.kit.places import Place

TROUBLE = Q(state__in=[State.FAILED, State.INTERRUPTED]) | Q(health__in=[Health.DEGRADED, Health.UNREACHABLE])


def state_of(instance: Instance) -> Any:
    """The state; where the last look was worse than that, what it showed."""
    lives = instance.state == State.RUNNING
    if lives and instance.health in (Health.DEGRADED, Health.UNREACHABLE):
        label = _now("%(state)s, %(health)s") % {
            "state": instance.get_state_display(),
            "health": instance.get_health_display().lower(),
        }
        return cells.status(instance.state, label, kind="warn")
    return cells.status(instance.state, instance.get_state_display())


def gpus_of(instance: Instance) -> Any:
    model = instance.type.gpu_model
    return cells.gpus(instance.gpus, model.name if model else "")


def _start(view: Any, instance: Instance) -> None:
    services.start_instance(actor=view.actor, instance_id=instance.pk)


def _stop(view: Any, instance: Instance) -> None:
    services.stop_instance(actor=view.actor, instance_id=instance.pk)


def _reboot(view: Any, instance: Instance) -> None:
    services.reboot_instance(actor=view.actor, instance_id=instance.pk)


def _delete(view: Any, instance: Instance) -> None:
    services.delete_instance(actor=view.actor, instance_id=instance.pk)


START = Action(
    "start",
    _("Start"),
    Permission.INSTANCE_OPERATE,
    _start,
    icon="play",
    when=lambda one: one.state == State.STOPPED and one.desired != Desired.DELETED,
    bulk=True,
    done=_("The machine is starting."),
)
STOP = Action(
    "stop",
    _("Stop"),
    Permission.INSTANCE_OPERATE,
    _stop,
    icon="square",
    when=lambda one: one.state in (State.RUNNING, State.STARTING) and one.desired == Desired.RUNNING,
    confirm=_("Its programs end. The disk is kept, and only the disk is charged while it is stopped."),
    bulk=True,
    done=_("The machine is stopping."),
)
REBOOT = Action(
    "reboot",
    _("Restart"),
    Permission.INSTANCE_OPERATE,
    _reboot,
    icon="rotate-cw",
    when=lambda one: one.state == State.RUNNING and one.desired == Desired.RUNNING,
    confirm=_("Its programs end and it boots anew. The price stays the same."),
    bulk=True,
    done=_("The machine is restarting."),
)
DELETE = Action(
    "delete",
    _("Delete"),
    Permission.INSTANCE_DELETE,
    _delete,
    icon="trash-2",
    when=lambda one: one.desired != Desired.DELETED,
    confirm=_("The machine and its disk are removed for good. Charging ends when it is proven gone."),
    danger=True,
    menu=True,
    bulk=True,
    done=_("The machine is being deleted."),
)

DELETE_BY_NAME = replace(DELETE, name="delete-for-good", type_name=True)


def _regions(view: Any) -> list[tuple[str, Any]]:
    known = view.rows().order_by("region__slug").values_list("region_id", "region__slug").distinct()
    return list(known[:60])


def _types(view: Any) -> list[tuple[str, Any]]:
    known = view.rows().order_by("type__slug").values_list("type_id", "type__name").distinct()
    return list(dict(known[:60]).items())


NAME = Column("name", _("Name"), sort="name", main=True, to="instance")
STATE = Column("state", _("Status"), state_of, sort="state", text=lambda one: one.get_state_display())
GPUS = Column("gpus", _("GPUs"), gpus_of, sort="gpus", text=lambda one: one.gpus)
TYPE = Column("type__name", _("Type"), sort="type__slug", priority=3)
REGION = Column("region__slug", _("Region"), sort="region__slug", mono=True, priority=2)
NODE = Column("node__name", _("Node"), sort="node__name", mono=True, priority=2)
TEAM = Column("team_name", _("Team"), sort="team_name", priority=2)
IMAGE = Column("image__name", _("Image"), sort="image__name", priority=3)
ADDRESS = Column("address", _("Address"), lambda one: cells.mono(one.address), priority=3)
HOURLY = Column(
    "hourly",
    _("Per hour"),
    lambda one: cells.price(one.hourly, one.currency),
    sort="hourly",
    num=True,
    text=lambda one: one.hourly,
)
AGE = moment("created", _("Age"), "created_at", cells.ago, num=True, priority=2)


class InstanceList(Resource):
    """All that have not been deleted."""

    title = _("Instances")
    permission = Permission.INSTANCE_READ
    model = Instance
    live = "instance. operation."
    order = "-created"
    search: ClassVar[Sequence[str]] = ("name", "address", "team_name")
    search_hint = _("Search by name, address or team")
    views: ClassVar[Sequence[SavedView]] = (
        SavedView("all", _("All")),
        SavedView("running", _("Running"), Q(state=State.RUNNING)),
        SavedView("moving", _("Under way"), Q(state__in=sorted(MOVING))),
        SavedView("stopped", _("Stopped"), Q(state=State.STOPPED)),
        SavedView("trouble", _("Needs attention"), TROUBLE),
    )
    actions = (START, STOP, REBOOT, DELETE)
    empty = Empty(_("No machine here"), _("Machines that customers launch are listed here."), icon="server")

    def rows(self) -> QuerySet[Any]:
        return super().rows().exclude(state=State.DELETED)

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("region", "node", "type__gpu_model", "image")


STATE_FILTER = Filter("state", _("Status"), [one for one in State.choices if one[0] != State.DELETED])
REGION_FILTER = Filter("region", _("Region"), _regions, field="region_id")
TYPE_FILTER = Filter("type", _("Type"), _types, field="type_id")


def find(actor: Actor, place: Place, text: str) -> list[Hit]:
    """Machines of the place by name or address, for the palette."""
    rows = place.narrow(Instance.objects.visible_to(actor)).exclude(state=State.DELETED)
    found = rows.filter(Q(name__icontains=text) | Q(address__startswith=text)).order_by("name")[:LIMIT]
    return [
        Hit(one.name, place.url("instance", pk=one.pk), "server", one.get_state_display()) for one in found
    ]


for _panel in SOURCES:
    SOURCES[_panel].append(Source(_("Instances"), Permission.INSTANCE_READ, find))
