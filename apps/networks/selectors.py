"""Reads of networks."""

from typing import Any

from django.db.models import QuerySet

from apps.core.actor import Actor
from apps.networks.models import Network


def list_networks(*, actor: Actor) -> QuerySet[Any]:
    return Network.objects.visible_to(actor).select_related("cluster", "region")
