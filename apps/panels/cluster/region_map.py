"""The region at a glance: every GPU in its rack, what needs attention, what is under way."""

from collections import defaultdict
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.models import GpuDevice
from apps.gpupools.selectors.cards import list_gpus, with_cards
from apps.gpupools.states import DeviceHealth
from apps.nodes.selectors import list_nodes
from apps.nodes.states import Health, State
from apps.operations.selectors import list_operations
from apps.operations.states import OPEN
from apps.panels import nodes, words
from apps.panels.kit import Action, Column, Empty, Events, Happened, Html, Kpi, Kpis, Note, Page, Table, cells
from apps.panels.kit.actions import buttons
from apps.regions import services
from apps.regions.models import Region

MODES = (("use", _("Use")), ("health", _("Health")))

FREEZE = Action(
    "freeze",
    _("Pull the brake"),
    Permission.REGION_FREEZE,
    lambda view, region: services.freeze_region(actor=view.actor, region=region) and None,
    icon="octagon-x",
    when=lambda region: region.frozen_at is None,
    confirm=_("Nothing is placed, moved or given up here until the brake is released. What runs goes on."),
    danger=True,
    done=_("The brake is on."),
)
UNFREEZE = Action(
    "unfreeze",
    _("Release the brake"),
    Permission.REGION_FREEZE,
    lambda view, region: services.unfreeze_region(actor=view.actor, region=region) and None,
    icon="circle-play",
    when=lambda region: region.frozen_at is not None,
    confirm=_("You have looked: nodes that stay out of sight are given up from now on."),
    done=_("The brake is off."),
)


class RegionMap(Page):
    panel = "cluster"
    permission = Permission.NODE_READ
    title = _("Region map")
    live = "node. gpu. region."
    actions = (FREEZE, UNFREEZE, nodes.ENROL, nodes.UNCORDON)

    # ------------------------------------------------------------ reads

    @cached_property
    def region(self) -> Region:
        assert self.place.region is not None
        return self.place.region

    @cached_property
    def nodes(self) -> list[Any]:
        rows = self.place.narrow(list_nodes(actor=self.actor)).exclude(state=State.RETIRED)
        return list(with_cards(rows).order_by("rack", "name"))

    @cached_property
    def gpus(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = defaultdict(list)
        for gpu in self.place.narrow(list_gpus(actor=self.actor)).order_by("node_id", "pci_address"):
            found[gpu.node_id].append(gpu)
        return found

    @property
    def mode(self) -> str:
        asked = self.request.GET.get("color", "")
        return asked if asked in dict(MODES) else "use"

    def targets(self, ids: Any) -> list[Any]:
        """The region for its brake, or one of the nodes that need attention."""
        if list(ids) in ([], [str(self.region.pk)]):
            return [self.region]
        return [node for node in self.nodes if str(node.pk) in ids]

    # ------------------------------------------------------------ blocks

    def top(self) -> list[Any]:
        blocks: list[Any] = []
        if self.region.frozen_at:
            text = _now("The brake is on: %(why)s Nothing is placed, moved or given up.")
            blocks.append(Note(text % {"why": self.region.frozen_because}, "bad"))
        cards = sum(node.cards for node in self.nodes)
        held = sum(node.cards_held for node in self.nodes)
        vcpus, used = sum(n.vcpus for n in self.nodes), sum(n.vcpus_used for n in self.nodes)
        ready = sum(node.state == State.READY and node.health == Health.HEALTHY for node in self.nodes)
        return [
            *blocks,
            Kpis(
                [
                    _kpi(_("GPUs in use"), held, cards),
                    _kpi(_("vCPUs in use"), used, vcpus),
                    _kpi(_("Nodes in service"), ready, len(self.nodes)),
                    Kpi(_("Need attention"), len(self.attention)),
                ]
            ),
        ]

    def main(self) -> list[Any]:
        if not self.nodes:
            text = _("Nodes appear by themselves when a cluster of this region reports them.")
            return [Table(_("GPUs by rack"), (), [], Empty(_("No node yet"), text, icon="server"))]
        context = {
            "racks": self._racks(),
            "mode": self.mode,
            "modes": [(f"?color={name}", label, name == self.mode) for name, label in MODES],
            "table": self.url("gpus"),
        }
        return [Html("cluster/map.html", context)]

    def aside(self) -> list[Any]:
        empty = Empty(
            _("All is well"), _("Nodes and GPUs that need a hand are listed here."), icon="circle-check"
        )
        found = self.place.narrow(list_operations(actor=self.actor)).filter(state__in=OPEN)
        running = [
            Happened(
                f"{words.kind(one.kind)}: {one.target_name}",
                one.created_at,
                f"{one.progress} %",
                "info",
                self.url("operation", pk=one.pk),
            )
            for one in found.order_by("-pk")[:8]
        ]
        link = (_("All"), self.url("operations"))
        return [
            Table(_("Needs attention"), ATTENTION, self.attention, empty, buttons=self._help, view=self),
            Events(_("Under way"), running, _("Nothing is under way."), link=link),
        ]

    @cached_property
    def attention(self) -> list[Any]:
        """Nodes that are not well or wait for somebody, then those with cards out of order."""
        return [node for node in self.nodes if _why(node)][:20]

    def _help(self, node: Any) -> list[dict[str, Any]]:
        return buttons(self, (nodes.ENROL, nodes.UNCORDON), node)

    def _racks(self) -> list[tuple[str, list[dict[str, Any]]]]:
        racks: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for node in self.nodes:
            name = _now("Rack %(rack)s") % {"rack": node.rack} if node.rack else _now("No rack")
            racks[name].append(self._unit(node))
        return sorted(racks.items())

    def _unit(self, node: Any) -> dict[str, Any]:
        state = node.get_state_display()
        label = _now("%(name)s, %(state)s, %(held)s of %(all)s GPUs in use")
        about = {"name": node.name, "state": state, "held": node.cards_held, "all": node.cards}
        return {
            "name": node.name,
            "url": self.url("node", pk=node.pk),
            "css": "down" if node.health == Health.UNREACHABLE else str(node.state),
            "mark": "✕" if node.health == Health.UNREACHABLE else "" if node.state == State.READY else "◆",
            "label": label % about,
            "gpus": [self._cell(gpu) for gpu in self.gpus.get(node.pk, [])],
        }

    def _cell(self, gpu: GpuDevice) -> tuple[str, str]:
        """The class of a card's cell, and its title."""
        held, slots = getattr(gpu, "held", 0), getattr(gpu, "slots", 0)
        title = f"{gpu.pci_address} · {gpu.model.name} · {gpu.get_health_display()} · {held}/{slots}"
        if gpu.health in (DeviceHealth.FAILED, DeviceHealth.MISSING):
            return "x", title
        if gpu.is_isolated:
            return "off", title
        if self.mode == "health":
            return ("h8" if gpu.health == DeviceHealth.DEGRADED else "h1"), title
        return (f"h{max(1, round(10 * held / slots))}" if held and slots else ""), title

    def context(self) -> dict[str, Any]:
        return {**super().context(), "buttons": buttons(self, (FREEZE, UNFREEZE), self.region)}


def _kpi(label: Any, used: int, total: int) -> Kpi:
    unit = _now("of %(n)s") % {"n": cells.number(total)}
    return Kpi(label, cells.number(used), unit=unit, share=used / total if total else None)


def _why(node: Any) -> str:
    if node.health != Health.HEALTHY:
        return _now("Not seen for a while")
    if node.problem:
        return str(node.problem)
    if node.state == State.ENROLLING:
        return _now("Waits to be enrolled")
    if node.cards_sick:
        return _now("GPUs out of order: %(n)s") % {"n": node.cards_sick}
    return ""


ATTENTION = (
    Column("name", _("Node"), lambda node: cells.two_lines(node.name, _why(node)), main=True, to="node"),
    Column("state", _("State"), nodes.state_of),
)
