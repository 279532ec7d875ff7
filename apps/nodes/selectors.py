"""Reads of nodes."""

from typing import Any

from apps.nodes.models import Node
from apps.nodes.signals import occupants_asked
from apps.nodes.specs import Occupant


def occupants_of(node: Node) -> list[Occupant]:
    """Everything that is on the node, asked of whoever puts things there."""
    answers: list[tuple[Any, Any]] = occupants_asked.send(Node, node=node)
    found: list[Occupant] = [one for _receiver, answer in answers for one in answer or ()]
    return sorted(found, key=lambda one: (one.team, one.name))
