"""Volumes, networks and datastores as the panels show them; each subclasses with its own name."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.networks.models import Network
from apps.networks.selectors import list_networks
from apps.panels.kit import Column, Empty, Filter, Resource, SavedView, cells, moment
from apps.storage.models import Datastore, Snapshot, Volume
from apps.storage.selectors import list_datastores, list_snapshots, list_volumes
from apps.storage.states import SnapshotState, VolumeState

P = Permission

REGION = Column(
    "region",
    _("Region"),
    lambda one: cells.mono(one.region.slug),
    sort="region__slug",
    priority=2,
    text=lambda one: one.region.slug,
)
CREATED = moment("created", _("Created"), "created_at", num=True, priority=2)


def state_of(one: Any) -> Any:
    return cells.status(one.state, one.get_state_display())


class VolumeList(Resource):
    permission = P.VOLUME_READ
    title = _("Volumes")
    model = Volume
    order = "-created"
    search = ("name",)
    search_hint = _("Search by name")
    filters: ClassVar = (Filter("state", _("State"), VolumeState.choices),)
    views = (
        SavedView("all", _("All")),
        SavedView("used", _("In use"), Q(state=VolumeState.IN_USE)),
        SavedView("failed", _("Failed"), Q(state=VolumeState.FAILED)),
    )
    columns: ClassVar = (
        Column("name", _("Name"), sort="name", main=True),
        Column("state", _("State"), state_of, sort="state"),
        Column(
            "size",
            _("Size"),
            lambda one: cells.size(one.size_gib, "GiB"),
            sort="size_gib",
            num=True,
            text=lambda one: one.size_gib,
        ),
        REGION,
        CREATED,
    )
    empty = Empty(_("No volume yet"), _("Every instance brings its disk; it shows here."), icon="hard-drive")

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_volumes(actor=self.actor))


class SnapshotList(Resource):
    permission = P.VOLUME_READ
    title = _("Snapshots")
    model = Snapshot
    order = "-created"
    search = ("name",)
    search_hint = _("Search by name")
    filters: ClassVar = (Filter("state", _("State"), SnapshotState.choices),)
    columns: ClassVar = (
        Column("name", _("Name"), sort="name", main=True),
        Column("state", _("State"), state_of, sort="state"),
        Column(
            "disk",
            _("Disk"),
            lambda one: cells.size(one.disk_gib, "GiB"),
            sort="disk_gib",
            num=True,
            text=lambda one: one.disk_gib,
        ),
        REGION,
        CREATED,
    )
    empty = Empty(_("No snapshot yet"), _("Take one on the page of an instance."), icon="camera")

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_snapshots(actor=self.actor))


class NetworkList(Resource):
    permission = P.NETWORK_READ
    title = _("Networks")
    model = Network
    order = "name"
    search = ("name", "cidr")
    search_hint = _("Search by name or address range")
    columns: ClassVar = (
        Column("name", _("Name"), sort="name", main=True),
        Column("kind", _("Kind"), sort="kind"),
        Column("cidr", _("Addresses"), lambda one: cells.mono(one.cidr), priority=2),
        Column(
            "cluster",
            _("Cluster"),
            lambda one: one.cluster.name,
            sort="cluster__name",
            text=lambda one: one.cluster.slug,
        ),
        REGION,
        CREATED,
    )
    empty = Empty(_("No network yet"), _("Networks come with the clusters that have them."), icon="network")

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_networks(actor=self.actor))


class DatastoreList(Resource):
    permission = P.STORAGE_READ
    title = _("Datastores")
    model = Datastore
    order = "name"
    search = ("name",)
    search_hint = _("Search by name")
    columns: ClassVar = (
        Column("name", _("Name"), sort="name", main=True),
        Column("kind", _("Kind"), sort="kind"),
        Column(
            "cluster",
            _("Cluster"),
            lambda one: one.cluster.name,
            sort="cluster__name",
            text=lambda one: one.cluster.slug,
        ),
        REGION,
        CREATED,
    )
    empty = Empty(
        _("No datastore yet"), _("Datastores come with the clusters that have them."), icon="database"
    )

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_datastores(actor=self.actor))
