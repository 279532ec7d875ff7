"""Nodes as the Admin and Cluster panels show them; each subclasses with its own name."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db.models import Q, QuerySet
from django.utils.html import format_html
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.core.permissions import Permission
from apps.gpupools.models import GpuDevice
from apps.gpupools.selectors.cards import with_cards, with_holds
from apps.nodes import services
from apps.nodes.models import Node, NodeAgent
from apps.nodes.selectors import list_nodes, occupants_of
from apps.nodes.specs import Occupant
from apps.nodes.states import MACHINE, Health, State
from apps.operations.selectors import operations_of
from apps.panels import gpus, node_agent, operations, words
from apps.panels.found import find
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Events,
    Facts,
    Filter,
    FormPage,
    Happened,
    Kpi,
    Kpis,
    Link,
    Note,
    Resource,
    SavedView,
    Tab,
    Table,
    cells,
    moment,
)

P = Permission
EVENTS_SHOWN = 60
ENTERING = (State.ENROLLING, State.TESTING, State.INITIALIZING)


def affected(node: Node) -> str:
    """What draining would do, named machine by machine."""
    found = occupants_of(node)
    if not found:
        return _now("Nothing runs there. The node goes into maintenance at once.")
    count = ngettext("%(n)s machine is affected:", "%(n)s machines are affected:", len(found))
    lines = [f"{one.name} ({one.team}): {one.consequence or one.state}" for one in found[:8]]
    more = [_now("and %(n)s more") % {"n": len(found) - 8}] if len(found) > 8 else []
    return " ".join([count % {"n": len(found)}, "; ".join([*lines, *more]) + "."])


def _can(event: str) -> Any:
    return lambda node: MACHINE.allows(event, node.state)


ENROL = Action(
    "enrol",
    _("Enrol"),
    P.NODE_ENROL,
    lambda view, node: services.enrol_node(actor=view.actor, node=node) and None,
    icon="plug",
    when=lambda node: node.state in (State.ENROLLING, State.RETIRED) and node.operation_id is None,
    bulk=True,
    done=_("The node is being taken into service."),
)
CORDON = Action(
    "cordon",
    _("Cordon"),
    P.NODE_CORDON,
    lambda view, node: services.cordon_node(actor=view.actor, node=node) and None,
    icon="ban",
    when=_can("cordon"),
    bulk=True,
    done=_("Nothing new is placed on the node."),
)
UNCORDON = Action(
    "uncordon",
    _("Back into service"),
    P.NODE_CORDON,
    lambda view, node: services.uncordon_node(actor=view.actor, node=node) and None,
    icon="circle-play",
    when=_can("uncordon"),
    bulk=True,
    done=_("The node takes machines again."),
)
DRAIN = Action(
    "drain",
    _("Drain"),
    P.NODE_DRAIN,
    lambda view, node: services.drain_node(actor=view.actor, node=node) and None,
    icon="log-out",
    when=_can("drain"),
    confirm=affected,
    danger=True,
    row=False,
    done=_("The node is being drained."),
)
MAINTAIN = Action(
    "maintain",
    _("Maintenance"),
    P.NODE_MANAGE,
    lambda view, node: services.maintain_node(actor=view.actor, node=node) and None,
    icon="wrench",
    when=lambda node: node.state == State.CORDONED,
    menu=True,
    row=False,
    done=_("The node is in maintenance."),
)
RETIRE = Action(
    "retire",
    _("Retire"),
    P.NODE_MANAGE,
    lambda view, node: services.retire_node(actor=view.actor, node=node) and None,
    icon="trash-2",
    when=_can("retire"),
    confirm=_("The node leaves the fleet. It may be enrolled again later."),
    type_name=True,
    danger=True,
    menu=True,
    row=False,
    done=_("The node is retired."),
)
REVOKE = Action(
    "revoke",
    _("Close the agent's door"),
    P.NODE_ENROL,
    lambda view, node: services.revoke_agent(actor=view.actor, node=node) and None,
    icon="ban",
    confirm=_("Its agent is refused from this moment. What runs on the node goes on, unseen."),
    danger=True,
    menu=True,
    row=False,
    done=_("The agent is refused from now on."),
)
ACTIONS = (ENROL, CORDON, UNCORDON, DRAIN, MAINTAIN, RETIRE)


def state_of(node: Node) -> Any:
    """Life and, where it is not well, health beside it."""
    shown = cells.status(node.state, node.get_state_display())
    if node.health == Health.HEALTHY:
        return shown
    return cells.join(shown, cells.status(node.health, node.get_health_display()))


def cards_of(node: Any) -> Any:
    if not node.cards:
        return cells.NONE
    bars = cells.pips(node.cards_held, node.cards, bad=node.cards_sick)
    return format_html(
        '<span class="with-pips">{}<span>{}/{}</span></span>', bars, node.cards_held, node.cards
    )


REGION = Column(
    "region", _("Region"), lambda node: cells.mono(node.region.slug), sort="region__slug", priority=2
)
COLUMNS = (
    Column("name", _("Name"), lambda node: node.name, sort="name", main=True, to="node"),
    Column("state", _("State"), state_of, sort=("state", "health")),
    Column("gpus", _("GPUs in use"), cards_of, sort="cards_held", text=lambda node: node.cards_held),
    Column(
        "vcpus",
        _("vCPUs"),
        lambda node: cells.used(node.vcpus_used, node.vcpus),
        sort="vcpus_used",
        priority=2,
        text=lambda node: node.vcpus_used,
    ),
    Column(
        "memory",
        _("Memory"),
        lambda node: cells.used(node.memory_mib_used // 1024, node.memory_mib // 1024, "GiB"),
        sort="memory_mib_used",
        priority=3,
        text=lambda node: node.memory_mib_used,
    ),
    Column("rack", _("Rack"), sort="rack", mono=True, priority=3),
    moment("seen", _("Last seen"), "last_seen_at", num=True, priority=2),
)


def _racks(view: Any) -> list[tuple[str, str]]:
    known = view.rows().exclude(rack="").order_by("rack").values_list("rack", flat=True).distinct()
    return [(name, name) for name in known[:60]]


class NodeList(Resource):
    permission = P.NODE_READ
    title = _("Nodes")
    model = Node
    live = "node."
    order = "name"
    columns: ClassVar[Sequence[Column]] = COLUMNS
    search = ("name", "rack", "cluster__slug")
    search_hint = _("Search by name, rack or cluster")
    filters: ClassVar = (
        Filter("health", _("Health"), Health.choices),
        Filter("rack", _("Rack"), _racks),
    )
    views = (
        SavedView("present", _("In the fleet"), ~Q(state=State.RETIRED)),
        SavedView("ready", _("Ready"), Q(state=State.READY)),
        SavedView("attention", _("Need attention"), ~Q(health=Health.HEALTHY) | ~Q(problem="")),
        SavedView(
            "out", _("Out of service"), Q(state__in=(State.CORDONED, State.DRAINING, State.MAINTENANCE))
        ),
        SavedView("new", _("New"), Q(state__in=(State.ENROLLING, State.TESTING, State.INITIALIZING))),
        SavedView("retired", _("Retired"), Q(state=State.RETIRED)),
    )
    actions = ACTIONS
    empty = Empty(
        _("No node here"),
        _("Nodes appear by themselves when a cluster that reports them is added."),
        icon="server",
    )

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_nodes(actor=self.actor))

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return with_cards(rows)


OCCUPANTS = (
    Column("name", _("Machine"), lambda one: one.name, main=True),
    Column("team", _("Team"), lambda one: one.team),
    Column("state", _("State"), lambda one: cells.status(one.state)),
    Column("gpus", _("GPUs"), lambda one: one.gpus or cells.NONE, num=True),
    Column("consequence", _("If drained"), lambda one: one.consequence or cells.NONE, wrap=True),
)


class NodePage(Detail):
    permission = P.NODE_READ
    nav = "nodes"
    model = Node
    live = "node. instance. operation."
    tabs: ClassVar = (
        Tab("overview", _("Overview")),
        Tab("gpus", _("GPUs"), P.GPU_READ),
        Tab("agent", _("Agent")),
        Tab("events", _("Events"), P.EVENT_READ),
    )
    actions = (*ACTIONS, REVOKE)
    links: ClassVar[Sequence[Link]] = (
        Link(_("Edit note"), "node-note", P.NODE_MANAGE, icon="pencil", primary=False),
    )

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_nodes(actor=self.actor))

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return with_cards(rows.select_related("agent"))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Nodes")), self.url("nodes"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        one = self.object
        rack = _now("Rack %(rack)s") % {"rack": one.rack} if one.rack else ""
        return [part for part in (one.cluster.name, rack, one.hypervisor) if part]

    def top(self) -> list[Any]:
        one, notes = self.object, []
        if one.health != Health.HEALTHY:
            notes.append(Note(self._silence(), "warn"))
        if one.problem:
            notes.append(Note(one.problem, "warn"))
        if one.note:
            notes.append(Note(one.note, "info"))
        return notes

    @property
    def agent(self) -> NodeAgent | None:
        """What its agent said last, if it ever had one."""
        return getattr(self.object, "agent", None)

    def _silence(self) -> Any:
        if self.agent and self.agent.is_stopped:
            return _("Its agent was stopped there; nothing new is placed on it until it is started again.")
        return _("It was not seen for a while; nothing new is placed on it.")

    def main_overview(self) -> list[Any]:
        one = self.object
        empty = Empty(_("Nothing runs here"), _("Machines placed on this node appear here."), icon="box")
        shown: list[Occupant] = occupants_of(one)
        entering = node_agent.enrolment(self, one) if one.state in ENTERING else []
        return [
            *entering,
            Kpis(
                [
                    _kpi(_("GPUs in use"), one.cards_held, one.cards),
                    _kpi(_("vCPUs"), one.vcpus_used, one.vcpus),
                    _kpi(_("Memory, GiB"), one.memory_mib_used // 1024, one.memory_mib // 1024),
                    _kpi(_("Disk, GiB"), one.disk_gib_used, one.disk_gib),
                ]
            ),
            Table(_("Machines on it"), OCCUPANTS, shown, empty, view=self),
        ]

    def aside_overview(self) -> list[Any]:
        one = self.object
        rows = [
            (_("Region"), cells.mono(one.region.slug)),
            (_("Zone"), one.zone.name if one.zone else None),
            (_("Cluster"), one.cluster.name),
            (_("Rack"), one.rack or None),
            (_("Hypervisor"), one.hypervisor or None),
            (_("Health"), cells.status(one.health, one.get_health_display()) if one.last_seen_at else None),
            (_("Last seen"), cells.when(one.last_seen_at)),
            (_("In this state since"), cells.when(one.state_changed_at)),
            (_("Added"), cells.exact(one.created_at)),
            (_("Id"), cells.copy(one.pk)),
        ]
        return [Facts(_("Details"), rows)]

    def main_gpus(self) -> list[Any]:
        found = with_holds(GpuDevice.objects.filter(node=self.object).select_related("model", "pool", "node"))
        empty = Empty(_("No GPU"), _("This node reports no cards."), icon="cpu")
        columns = [one for one in gpus.COLUMNS if one.name != "node"]
        return [Table(_("GPUs"), columns, list(found.order_by("pci_address")), empty, view=self)]

    def main_agent(self) -> list[Any]:
        return node_agent.charts(self, self.object)

    def aside_agent(self) -> list[Any]:
        return [node_agent.facts(self.agent), *node_agent.enrolment(self, self.object)]

    def main_events(self) -> list[Any]:
        found = operations_of(actor=self.actor, target_id=self.object.pk)[:30]
        items = [
            Happened(
                words.kind(one.kind),
                one.created_at,
                one.error_message or one.actor_label,
                url=self.url("operation", pk=one.pk),
            )
            for one in found
        ]
        return [
            Events(_("Operations"), items, _("Nothing has been done to this node yet.")),
            operations.what_happened(self, str(self.object.pk), EVENTS_SHOWN),
        ]


def _kpi(label: Any, used: int, total: int) -> Kpi:
    share = used / total if total else None
    return Kpi(label, cells.number(used), unit=_now("of %(n)s") % {"n": cells.number(total)}, share=share)


class NoteFields(forms.Form):
    note = forms.CharField(
        label=_("Note"),
        max_length=300,
        required=False,
        widget=forms.Textarea,
        help_text=_("For the colleagues."),
    )


class NodeNote(FormPage):
    permission = P.NODE_MANAGE
    nav = "nodes"
    title = _("Edit note")
    form_class = NoteFields
    submit = _("Save")
    done = _("The note is there.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_nodes(actor=self.actor))

    def initial(self) -> dict[str, Any]:
        return {"note": self.found.note}

    def crumbs(self) -> list[tuple[str, str]]:
        node = self.found
        return [(str(_("Nodes")), self.url("nodes")), (node.name, self.url("node", pk=node.pk))]

    def save(self, data: dict[str, Any]) -> str:
        services.annotate_node(actor=self.actor, node=self.found, note=data["note"])
        return self.url("node", pk=self.pk)
