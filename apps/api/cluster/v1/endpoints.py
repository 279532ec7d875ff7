"""Replicas in the region."""

from apps.api.base import RegionViewSet
from apps.api.endpoints import ReplicaActions, StaffReplicaOut, replica_calls


class ReplicaViewSet(ReplicaActions, RegionViewSet):
    """Engines in the region."""

    calls = replica_calls(StaffReplicaOut)
