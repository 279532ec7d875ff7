"""Refusals about nodes."""

from apps.core.errors import Conflict


class NodeOccupied(Conflict):
    """Machines are still on the node."""

    code = "node_occupied"
