"""Clusters as the Admin and Cluster panels show them; each subclasses with its own name."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.selectors.cards import with_cards
from apps.inference.models import Replica
from apps.panels import endpoints, nodes
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    Note,
    Resource,
    SavedView,
    Table,
    cells,
    moment,
)
from apps.regions import services
from apps.regions.models import Cluster
from apps.regions.selectors import list_clusters
from apps.regions.states import ClusterState

P = Permission
KINDS = ("agents", "libvirt", "local", "sim")

RECHECK = Action(
    "recheck",
    _("Check now"),
    P.CLUSTER_READ,
    lambda view, cluster: services.recheck_cluster(actor=view.actor, cluster=cluster) and None,
    icon="refresh-cw",
    when=lambda cluster: cluster.state != ClusterState.RETIRED,
    done=_("It is being looked at."),
)


def state_of(cluster: Cluster) -> Any:
    shown = cells.status(cluster.state, cluster.get_state_display())
    if cluster.last_error:
        return cells.join(shown, cells.status("error", _("Does not answer")))
    return shown


NAME = Column("name", _("Name"), lambda one: one.name, sort="name", main=True, to="cluster")
REGION = Column(
    "region",
    _("Region"),
    lambda one: cells.mono(one.region.slug),
    sort="region__slug",
    text=lambda one: one.region.slug,
)
STATE = Column("state", _("State"), state_of, sort="state")
KIND = Column("kind", _("Driver"), lambda one: cells.mono(one.kind), sort="kind")
NODES = Column(
    "nodes",
    _("Nodes"),
    lambda one: one.node_count,
    sort="node_count",
    num=True,
    text=lambda one: one.node_count,
)
SEEN = moment("seen", _("Last seen"), "last_seen_at", num=True, priority=2)


class ClusterList(Resource):
    permission = P.CLUSTER_READ
    title = _("Clusters")
    model = Cluster
    live = "cluster."
    order = "name"
    columns: ClassVar[Sequence[Column]] = (NAME, STATE, KIND, NODES, SEEN)
    search = ("name", "slug", "kind")
    search_hint = _("Search by name or driver")
    filters: ClassVar = (Filter("kind", _("Driver"), tuple((one, one) for one in KINDS)),)
    views = (
        SavedView("live", _("In use"), ~Q(state=ClusterState.RETIRED)),
        SavedView("trouble", _("Do not answer"), ~Q(last_error="")),
        SavedView("retired", _("Retired"), Q(state=ClusterState.RETIRED)),
    )
    actions: ClassVar[Sequence[Action]] = (RECHECK,)
    empty = Empty(_("No cluster yet"), _("A cluster is one endpoint that runs machines."), icon="boxes")

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_clusters(actor=self.actor))

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        found: QuerySet[Any] = rows.annotate(
            node_count=Count("nodes", filter=~Q(nodes__state="retired"), distinct=True)
        )
        return found


MOST = 200
ENGINE_COLUMNS = (
    endpoints.REPLICA_ID,
    endpoints.REPLICA_STATE,
    endpoints.REPLICA_OF,
    endpoints.REPLICA_TEAM,
    endpoints.REPLICA_WHAT,
    endpoints.REPLICA_SINCE,
)


class ClusterPage(Detail):
    permission = P.CLUSTER_READ
    nav = "clusters"
    model = Cluster
    live = "cluster. node. replica."
    actions: ClassVar[Sequence[Action]] = (RECHECK,)

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_clusters(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Clusters")), self.url("clusters"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        return [cells.mono(self.object.kind), self.object.version]

    def top(self) -> list[Any]:
        return [Note(self.object.last_error, "bad")] if self.object.last_error else []

    def main_overview(self) -> list[Any]:
        hosts = list(with_cards(self.object.nodes.select_related("region").order_by("name"))[:MOST])
        serving = self._engines()
        empty = Empty(_("No node yet"), _("They appear when the endpoint reports them."), icon="server")
        shown = [Table(_("Nodes"), nodes.COLUMNS, hosts, empty, view=self)]
        if serving:
            engines = Table(_("Replicas"), ENGINE_COLUMNS, serving, view=self)
            shown = [*shown, engines] if hosts else [engines]
        return shown

    def _engines(self) -> list[Any]:
        """Those that this cluster runs."""
        found = Replica.objects.visible_to(self.actor).shown().filter(cluster=self.object)
        return list(found.select_related("endpoint", "revision").order_by("-pk")[:MOST])

    def aside_overview(self) -> list[Any]:
        one = self.object
        rows = [
            (_("Address"), cells.mono(one.slug)),
            (_("Region"), cells.mono(one.region.slug)),
            (_("Zone"), one.zone.name if one.zone else None),
            (_("Driver"), cells.mono(one.kind)),
            (_("Version"), one.version or None),
            (_("New nodes"), _("taken into service at once") if one.auto_enrol else _("wait for staff")),
            (_("Last seen"), cells.when(one.last_seen_at)),
            (_("Added"), cells.exact(one.created_at)),
        ]
        return [Facts(_("Details"), rows)]
