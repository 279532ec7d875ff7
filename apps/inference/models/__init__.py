"""Endpoints, their revisions and replicas, and the hardware they may run on."""

from apps.inference.models.endpoints import Endpoint, EndpointQuerySet, Hardware, Revision
from apps.inference.models.limits import RateLimit
from apps.inference.models.replicas import Replica, ReplicaQuerySet

__all__ = ["Endpoint", "EndpointQuerySet", "Hardware", "RateLimit", "Replica", "ReplicaQuerySet", "Revision"]
