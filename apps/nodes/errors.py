"""Refusals about nodes."""

from apps.core.errors import Conflict, DomainError


class NodeOccupied(Conflict):
    """Machines are still on the node."""

    code = "node_occupied"


class UnknownAgent(DomainError):
    """The secret is malformed, unknown, used, revoked or has run out; the caller is nobody (401)."""

    code = "unknown_agent"
