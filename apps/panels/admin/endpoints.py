"""Endpoints and the fleet of replicas in the Admin panel."""

from apps.panels import endpoints
from apps.panels.staff_endpoint import StaffEndpoint


class EndpointList(endpoints.EndpointList):
    panel = "admin"
    columns = (
        endpoints.NAME,
        endpoints.STATE,
        endpoints.TEAM,
        endpoints.MODEL,
        endpoints.COUNT,
        endpoints.REQUESTS,
        endpoints.TAIL,
        endpoints.TOKENS,
        endpoints.REGION,
        endpoints.AGE,
    )
    filters = (endpoints.STATE_FILTER, endpoints.REGION_FILTER)


class EndpointPage(StaffEndpoint):
    panel = "admin"


class ReplicaList(endpoints.ReplicaList):
    panel = "admin"
    columns = (
        endpoints.REPLICA_ID,
        endpoints.REPLICA_STATE,
        endpoints.REPLICA_OF,
        endpoints.REPLICA_TEAM,
        endpoints.REPLICA_WHAT,
        endpoints.REPLICA_REGION,
        endpoints.REPLICA_WHERE,
        endpoints.REPLICA_SINCE,
        endpoints.REPLICA_SEEN,
    )
