"""Replicas of the region in the Cluster panel."""

from apps.panels import endpoints


class ReplicaList(endpoints.ReplicaList):
    panel = "cluster"
    columns = (
        endpoints.REPLICA_ID,
        endpoints.REPLICA_STATE,
        endpoints.REPLICA_OF,
        endpoints.REPLICA_TEAM,
        endpoints.REPLICA_WHAT,
        endpoints.REPLICA_WHERE,
        endpoints.REPLICA_MESSAGE,
        endpoints.REPLICA_SINCE,
        endpoints.REPLICA_SEEN,
    )
    filters = endpoints.ReplicaList.filters[::2]
