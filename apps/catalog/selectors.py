"""Reads of the catalogue."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.catalog.models import GpuModel, Image, InstanceType
from apps.core.actor import Actor
from apps.core.errors import NotFound


def list_types(*, actor: Actor, for_sale: bool = False) -> QuerySet[Any]:
    rows: Any = InstanceType.objects.visible_to(actor).select_related("gpu_model")
    found: QuerySet[Any] = rows.launchable() if for_sale else rows
    return found


def list_images(*, actor: Actor, for_sale: bool = False) -> QuerySet[Any]:
    rows: Any = Image.objects.visible_to(actor)
    found: QuerySet[Any] = rows.launchable() if for_sale else rows
    return found


def list_models(*, actor: Actor) -> QuerySet[Any]:
    return GpuModel.objects.visible_to(actor)


def find(rows: QuerySet[Any], row_id: str) -> Any:
    """One of the rows; raises NotFound."""
    found = rows.filter(pk=row_id).first()
    if found is None:
        raise NotFound(_("There is no such thing in the catalogue."))
    return found
