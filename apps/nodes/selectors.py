"""Reads of nodes."""

from apps.nodes.models import Node
from apps.nodes.signals import occupants_asked
from apps.nodes.specs import Occupant


def occupants_of(node: Node) -> list[Occupant]:
    """Everything that is on the node, asked of whoever puts things there."""
    answers = occupants_asked.send(Node, node=node)
    found = [one for _receiver, answer in answers for one in answer or ()]
    return sorted(found, key=lambda one: (one.team, one.name))
