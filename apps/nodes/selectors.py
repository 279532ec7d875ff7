"""Reads of nodes and resource groups."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.nodes.models import Node, ResourceGroup
from apps.nodes.signals import occupants_asked
from apps.nodes.specs import Occupant


def list_nodes(*, actor: Actor) -> QuerySet[Any]:
    return Node.objects.visible_to(actor).select_related("region", "cluster", "zone")


def find_node(*, actor: Actor, node_id: str) -> Node:
    """A node as its region's staff sees it; raises NotFound."""
    found: Node | None = list_nodes(actor=actor).filter(pk=node_id).first()
    if found is None:
        raise NotFound(_("There is no such node."))
    return found


def list_groups(*, actor: Actor) -> QuerySet[Any]:
    return ResourceGroup.objects.visible_to(actor).select_related("region").prefetch_related("nodes")


def find_group(*, actor: Actor, group_id: str) -> ResourceGroup:
    found: ResourceGroup | None = list_groups(actor=actor).filter(pk=group_id).first()
    if found is None:
        raise NotFound(_("There is no such group."))
    return found


def occupants_of(node: Node) -> list[Occupant]:
    """Everything that is on the node, asked of whoever puts things there."""
    answers: list[tuple[Any, Any]] = occupants_asked.send(Node, node=node)
    found: list[Occupant] = [one for _receiver, answer in answers for one in answer or ()]
    return sorted(found, key=lambda one: (one.team, one.name))
