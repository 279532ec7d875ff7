"""Endpoints, their revisions, replicas and engines' logs, and the hardware they may run on."""

from apps.inference.models.endpoints import Endpoint, EndpointQuerySet, Hardware, Revision
from apps.inference.models.limits import RateLimit
from apps.inference.models.logs import EngineLog
from apps.inference.models.replicas import Replica, ReplicaQuerySet

__all__ = [
    "Endpoint",
    "EndpointQuerySet",
    "EngineLog",
    "Hardware",
    "RateLimit",
    "Replica",
    "ReplicaQuerySet",
    "Revision",
]
