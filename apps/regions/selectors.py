"""Reads of regions and clusters."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.regions.models import Region


def get_region(*, actor: Actor, slug: str) -> Region:
    """The region as its staff sees it; raises NotFound."""
    region = Region.objects.visible_to(actor).filter(slug=slug).first()
    if region is None:
        raise NotFound(_("There is no such region."))
    found: Region = region
    return found


def regions_for_customers(actor: Actor) -> QuerySet[Any]:
    """What whoever may read the catalogue anywhere may know of: regions that are not closed."""
    if not actor.scopes(Permission.CATALOG_READ, "team"):
        return Region.objects.none()
    return Region.objects.selling()
