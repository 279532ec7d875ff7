"""The platform at a glance: what is sold, what is left, what needs a hand."""

from functools import cached_property
from typing import Any, ClassVar

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.selectors.cards import list_pools, with_cards
from apps.gpupools.states import PoolState
from apps.inference.models import Endpoint
from apps.inference.selectors import gateways
from apps.inference.states import EndpointState
from apps.instances.models import Instance
from apps.instances.states import State as InstanceState
from apps.nodes.selectors import list_nodes
from apps.nodes.states import Health, State
from apps.operations.selectors import list_operations
from apps.operations.states import OPEN
from apps.panels import endpoints, nodes, words
from apps.panels.kit import Column, Empty, Events, Happened, Kpi, Kpis, Link, Note, Page, Shares, Table, cells
from apps.regions.models import Region
from apps.regions.selectors import list_regions

P = Permission
MOST = 20


class Overview(Page):
    panel = "admin"
    permission = P.REGION_READ
    title = _("Overview")
    live = "node. region. pool. endpoint."
    links: ClassVar = (Link(_("Add region"), "region-new", P.REGION_MANAGE),)

    @cached_property
    def regions(self) -> list[Any]:
        """Each with its `machines`."""
        live = Instance.objects.visible_to(self.actor).exclude(state=InstanceState.DELETED)
        here = live.filter(region=OuterRef("pk")).order_by().values("region").annotate(n=Count("pk"))
        machines = Coalesce(Subquery(here.values("n")), 0)
        return list(list_regions(actor=self.actor).annotate(machines=machines).order_by("name"))

    @cached_property
    def nodes(self) -> list[Any]:
        return list(with_cards(list_nodes(actor=self.actor).exclude(state=State.RETIRED)))

    @cached_property
    def pools(self) -> list[Any]:
        found = list_pools(actor=self.actor).exclude(state=PoolState.RETIRED).filter(slots__gt=0)
        return sorted(found, key=lambda pool: -pool.held / pool.slots)

    def top(self) -> list[Any]:
        frozen = [one for one in self.regions if one.frozen_at]
        text = _now("The brake is on in %(name)s: %(why)s")
        notes: list[Any] = [
            Note(
                text % {"name": one.name, "why": one.frozen_because},
                "bad",
                link=(_("Look"), self.url("region", pk=one.pk)),
            )
            for one in frozen
        ]
        cards = sum(node.cards for node in self.nodes)
        held = sum(node.cards_held for node in self.nodes)
        well = sum(node.state == State.READY and node.health == Health.HEALTHY for node in self.nodes)
        kpis = [
            _kpi(_("GPUs rented"), held, cards),
            Kpi(_("Instances"), cells.number(sum(region.machines for region in self.regions))),
            _kpi(_("Nodes in service"), well, len(self.nodes)),
            Kpi(_("Regions"), len(self.regions)),
        ]
        return [*notes, *self._gateway(), Kpis(kpis)]

    def _gateway(self) -> list[Any]:
        """What is wrong with it, for those who may see it."""
        if not self.can(P.LIMIT_READ):
            return []
        found = gateways.workers()
        if any(one.state == "ready" for one in found):
            return []
        text = _("No worker of the gateway is quite well.") if found else _("The gateway is not heard of.")
        return [Note(text, "bad", link=(_("Look"), self.url("gateway")))]

    def main(self) -> list[Any]:
        empty = Empty(
            _("No region yet"),
            _("A region holds clusters, nodes and GPU pools."),
            Link(_("Add region"), "region-new", P.REGION_MANAGE),
            icon="globe",
        )
        rows = [self._row(region) for region in self.regions]
        return [Table(_("Regions"), REGIONS, rows, empty, view=self), *self._attention()]

    def aside(self) -> list[Any]:
        scarce = [
            (f"{one.name} · {one.region.slug}", one.held / one.slots, f"{one.held} / {one.slots}", _tone(one))
            for one in self.pools[:8]
        ]
        running = [
            Happened(
                f"{words.kind(one.kind)}: {one.target_name}",
                one.created_at,
                f"{one.progress} %",
                "info",
                self.url("operation", pk=one.pk),
            )
            for one in list_operations(actor=self.actor).filter(state__in=OPEN).order_by("-pk")[:8]
        ]
        pools = (_("All"), self.url("gpu-pools"))
        link = (_("All"), self.url("operations"))
        return [
            Shares(_("Scarcest pools"), scarce, _("No GPU pool sells anything yet."), link=pools),
            Events(_("Under way"), running, _("Nothing is under way."), link=link),
        ]

    def _attention(self) -> list[Table]:
        """Nodes and endpoints; one table that says so when all are well."""
        found = [node for node in self.nodes if node.health != Health.HEALTHY or node.problem]
        weak = Endpoint.objects.visible_to(self.actor).filter(state=EndpointState.DEGRADED)
        served = list(weak.select_related("region").order_by("team_name", "slug")[:MOST])
        empty = Empty(
            _("All is well"), _("Nodes and endpoints that need a hand are listed here."), icon="circle-check"
        )
        nodes = Table(_("Needs attention"), ATTENTION, found[:MOST], empty, view=self)
        models = Table(_("Endpoints that need attention"), WEAK, served, view=self)
        return ([nodes] if found or not served else []) + ([models] if served else [])

    def _row(self, region: Region) -> Any:
        mine = [node for node in self.nodes if node.region_id == region.pk]
        region.nodes_here = len(mine)  # type: ignore[attr-defined]
        region.cards = sum(node.cards for node in mine)  # type: ignore[attr-defined]
        region.held = sum(node.cards_held for node in mine)  # type: ignore[attr-defined]
        return region


def _kpi(label: Any, used: int, total: int) -> Kpi:
    unit = _now("of %(n)s") % {"n": cells.number(total)}
    return Kpi(label, cells.number(used), unit=unit, share=used / total if total else None)


def _tone(pool: Any) -> str:
    return "bad" if pool.held >= pool.slots else "warn" if pool.held > 0.85 * pool.slots else "s1"


def region_state(region: Region) -> Any:
    shown = cells.status(region.state, region.get_state_display())
    return cells.join(shown, cells.status("frozen", _("Brake on"))) if region.frozen_at else shown


REGIONS = (
    Column("name", _("Region"), lambda one: one.name, main=True, to="region"),
    Column("state", _("State"), region_state),
    Column("gpus", _("GPUs rented"), lambda one: cells.used(one.held, one.cards)),
    Column("nodes", _("Nodes"), lambda one: one.nodes_here, num=True, priority=2),
    Column("machines", _("Instances"), lambda one: one.machines, num=True),
)
WEAK = (
    endpoints.NAME,
    Column("whose", _("Team"), lambda one: one.team_name or _now("Provider")),
    Column("state", _("State"), endpoints.state_of),
    Column("why", _("Why"), lambda one: one.message or one.last_error, wrap=True),
)
ATTENTION = (
    Column("name", _("Node"), lambda node: node.name, main=True, to="node"),
    Column("region", _("Region"), lambda node: cells.mono(node.region.slug)),
    Column("state", _("State"), nodes.state_of),
    Column("why", _("Why"), lambda node: node.problem or cells.when(node.last_seen_at)),
)
