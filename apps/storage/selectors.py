"""Reads of volumes, snapshots and datastores."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.storage.models import Datastore, Snapshot, Volume


def list_volumes(*, actor: Actor) -> QuerySet[Any]:
    """Disks that exist."""
    return Volume.objects.visible_to(actor).live().select_related("region")


def list_snapshots(*, actor: Actor) -> QuerySet[Any]:
    """Snapshots that exist."""
    return Snapshot.objects.visible_to(actor).live().select_related("region")


def list_datastores(*, actor: Actor) -> QuerySet[Any]:
    return Datastore.objects.visible_to(actor).select_related("cluster", "region")


def find(rows: QuerySet[Any], row_id: str) -> Any:
    """One of the rows; raises NotFound."""
    found = rows.filter(pk=row_id).first()
    if found is None:
        raise NotFound(_("There is no such thing."))
    return found
