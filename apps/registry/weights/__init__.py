"""What files of weights say about themselves; only headers are read, never a tensor."""

from apps.registry.weights.facts import Facts, Unreadable
from apps.registry.weights.models import Source, describe

__all__ = ["Facts", "Source", "Unreadable", "describe"]
