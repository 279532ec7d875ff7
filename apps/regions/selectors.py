"""Reads of regions and clusters."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.regions.models import Cluster, Region, RegionQuerySet


def list_regions(*, actor: Actor) -> QuerySet[Any]:
    """The regions of which the actor is staff."""
    return Region.objects.visible_to(actor)


def find_region(*, actor: Actor, region_id: str) -> Region:
    """A region as its staff sees it; raises NotFound."""
    found: Region = _one(Region.objects.visible_to(actor).filter(pk=region_id), _("There is no such region."))
    return found


def list_clusters(*, actor: Actor) -> QuerySet[Any]:
    return Cluster.objects.visible_to(actor).select_related("region", "zone")


def find_cluster(*, actor: Actor, cluster_id: str) -> Cluster:
    """A cluster as its region's staff sees it; raises NotFound."""
    found: Cluster = _one(list_clusters(actor=actor).filter(pk=cluster_id), _("There is no such cluster."))
    return found


def regions_for_customers(*, actor: Actor) -> RegionQuerySet:
    """What whoever may read the catalogue anywhere may know of: regions that are not closed."""
    if not any(Permission.CATALOG_READ in held for held in actor.grants.values()):
        return Region.objects.none()
    return Region.objects.selling()


def _one(rows: QuerySet[Any], message: str) -> Any:
    found = rows.first()
    if found is None:
        raise NotFound(message)
    return found
