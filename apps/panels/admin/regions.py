"""Regions in the Admin panel."""

from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.selectors.cards import list_pools
from apps.panels import clusters, gpus
from apps.panels.admin.overview import region_state
from apps.panels.found import find
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    FormPage,
    Link,
    Note,
    Resource,
    SavedView,
    Section,
    Tab,
    Table,
    cells,
    palette,
)
from apps.regions import services
from apps.regions.models import Region
from apps.regions.selectors import list_clusters, list_regions
from apps.regions.states import REGION, RegionState

P = Permission

FREEZE = Action(
    "freeze",
    _("Pull the brake"),
    P.REGION_FREEZE,
    lambda view, region: services.freeze_region(actor=view.actor, region=region) and None,
    icon="octagon-x",
    when=lambda region: region.frozen_at is None,
    confirm=_("Nothing is placed, moved or given up there until the brake is released. What runs goes on."),
    danger=True,
    menu=True,
    done=_("The brake is on."),
)
UNFREEZE = Action(
    "unfreeze",
    _("Release the brake"),
    P.REGION_FREEZE,
    lambda view, region: services.unfreeze_region(actor=view.actor, region=region) and None,
    icon="circle-play",
    when=lambda region: region.frozen_at is not None,
    confirm=_("You have looked: nodes that stay out of sight are given up from now on."),
    done=_("The brake is off."),
)


def _move(event: str, label: Any, icon: str, confirm: Any, *, danger: bool = False) -> Action:
    return Action(
        event,
        label,
        P.REGION_MANAGE,
        lambda view, region: services.move_region(actor=view.actor, region=region, event=event) and None,
        icon=icon,
        when=lambda region: REGION.allows(event, region.state),
        confirm=confirm,
        danger=danger,
        menu=True,
        row=False,
        done=_("The region has another state."),
    )


ACTIONS = (
    FREEZE,
    UNFREEZE,
    _move("open", _("Open"), "circle-play", _("Customers can launch there.")),
    _move("limit", _("Limit"), "circle-pause", _("Nothing new is launched there; what runs goes on.")),
    _move("maintain", _("Maintenance"), "wrench", _("Nothing new is launched there; customers see why.")),
    _move("close", _("Close"), "ban", _("Customers no longer see it; what runs goes on."), danger=True),
)


class RegionList(Resource):
    panel = "admin"
    permission = P.REGION_READ
    title = _("Regions")
    model = Region
    live = "region."
    order = "name"
    search = ("name", "slug", "location")
    search_hint = _("Search by name, address or place")
    filters = (Filter("state", _("State"), RegionState.choices),)
    views = (SavedView("all", _("All")), SavedView("frozen", _("Brake on"), Q(frozen_at__isnull=False)))
    actions = (FREEZE, UNFREEZE)
    links = (Link(_("Add region"), "region-new", P.REGION_MANAGE),)
    empty = Empty(
        _("No region yet"), _("A region holds clusters, nodes and GPU pools."), links[0], icon="globe"
    )
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="region"),
        Column("slug", _("Address"), sort="slug", mono=True),
        Column("state", _("State"), region_state, sort="state"),
        Column("location", _("Place"), sort="location", priority=2),
        Column(
            "clusters",
            _("Clusters"),
            lambda one: one.cluster_count,
            sort="cluster_count",
            num=True,
            text=lambda one: one.cluster_count,
        ),
        Column(
            "nodes",
            _("Nodes"),
            lambda one: one.node_count,
            sort="node_count",
            num=True,
            text=lambda one: one.node_count,
        ),
    )

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        found: QuerySet[Any] = rows.annotate(
            cluster_count=Count("clusters", distinct=True), node_count=Count("nodes", distinct=True)
        )
        return found


class RegionFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Address"), max_length=40, help_text=_("Stands in addresses; it stays."))
    location = forms.CharField(label=_("Place"), max_length=120, required=False)
    country = forms.CharField(
        label=_("Country"), max_length=2, required=False, help_text=_("Two letters, such as FI.")
    )


class RegionNew(FormPage):
    panel = "admin"
    permission = P.REGION_MANAGE
    title = _("Add region")
    form_class = RegionFields
    sections = (
        Section(
            _("Identity"),
            _("Customers see this on the launch page."),
            ("name", "slug", "location", "country"),
        ),
    )
    submit = _("Add region")
    done = _("The region is there.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Regions")), self.url("regions"))]

    def save(self, data: dict[str, Any]) -> str:
        region = services.create_region(actor=self.actor, **data)
        return self.url("region", pk=region.pk)


class RegionChange(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    location = forms.CharField(label=_("Place"), max_length=120, required=False)
    country = forms.CharField(label=_("Country"), max_length=2, required=False)
    brake_percent = forms.IntegerField(
        label=_("Brake at, in percent"),
        min_value=1,
        max_value=100,
        help_text=_("When this share of nodes goes out of sight at once, the region freezes."),
    )


class RegionEdit(FormPage):
    panel = "admin"
    permission = P.REGION_MANAGE
    nav = "regions"
    title = _("Edit region")
    form_class: ClassVar[type[forms.Form]] = RegionChange
    submit = _("Save")
    done = _("The region is changed.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_regions(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        back = [(str(_("Regions")), self.url("regions"))]
        return [*back, (self.found.name, self.url("region", pk=self.found.pk))]

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.found, name) for name in RegionChange.base_fields}

    def save(self, data: dict[str, Any]) -> str:
        services.update_region(actor=self.actor, region=self.found, changes=data)
        return self.url("region", pk=self.found.pk)


class ZoneFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Address"), max_length=40, help_text=_("Nodes report it; it stays."))


class ZoneNew(RegionEdit):
    title = _("Add zone")
    form_class = ZoneFields
    submit = _("Add zone")
    done = _("The zone is there.")

    def initial(self) -> dict[str, Any]:
        return {}

    def save(self, data: dict[str, Any]) -> str:
        services.create_zone(actor=self.actor, region=self.found, **data)
        return self.url("region", pk=self.found.pk)


class RegionDetail(Detail):
    panel = "admin"
    permission = P.REGION_READ
    nav = "regions"
    model = Region
    live = "region. cluster. pool."
    tabs = (
        Tab("overview", _("Overview")),
        Tab("pools", _("GPU pools"), P.POOL_READ),
    )
    actions = ACTIONS
    links = (
        Link(_("Edit"), "region-edit", P.REGION_MANAGE, icon="pencil", primary=False),
        Link(_("Add zone"), "zone-new", P.REGION_MANAGE, primary=False),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Regions")), self.url("regions"))]

    def status(self) -> Any:
        return region_state(self.object)

    def meta(self) -> list[Any]:
        panel = reverse("cluster:home", kwargs={"region": self.object.slug})
        parts = (self.object.location, cells.mono(self.object.slug), cells.link(_("Open its panel"), panel))
        return [part for part in parts if part]

    def top(self) -> list[Any]:
        if self.object.frozen_at:
            return [Note(self.object.frozen_because, "bad")]
        return []

    def main_overview(self) -> list[Any]:
        rows = list_clusters(actor=self.actor).filter(region=self.object)
        rows = rows.annotate(node_count=Count("nodes", distinct=True)).order_by("name")
        empty = Empty(
            _("No cluster yet"),
            _("A cluster is one endpoint that runs machines."),
            Link(_("Add cluster"), "cluster-new", P.CLUSTER_MANAGE),
            icon="boxes",
        )
        columns = (clusters.NAME, clusters.STATE, clusters.KIND, clusters.NODES, clusters.SEEN)
        return [Table(_("Clusters"), columns, list(rows), empty, view=self)]

    def main_pools(self) -> list[Any]:
        rows = list_pools(actor=self.actor).filter(region=self.object).order_by("name")
        empty = Empty(_("No GPU pool yet"), _("A pool sells GPUs of one model together."), icon="layers")
        return [Table(_("GPU pools"), gpus.POOL_COLUMNS, list(rows), empty, view=self)]

    def aside_overview(self) -> list[Any]:
        one = self.object
        zones = cells.tags(zone.name for zone in one.zones.all())
        rows = [
            (_("Address"), cells.mono(one.slug)),
            (_("Place"), one.location or None),
            (_("Country"), one.country or None),
            (_("Zones"), zones),
            (_("Brake at"), f"{one.brake_percent} %"),
            (_("Made"), cells.exact(one.created_at)),
            (_("Id"), cells.copy(one.pk)),
        ]
        return [Facts(_("Details"), rows)]


def find_regions(actor: Any, place: Any, text: str) -> Any:
    rows = list_regions(actor=actor).filter(Q(name__icontains=text) | Q(slug__icontains=text))
    for one in rows[:6]:
        yield palette.Hit(one.name, place.url("region", pk=one.pk), "globe", one.slug)


palette.SOURCES["admin"].append(palette.Source(_("Regions"), P.REGION_READ, find_regions))
