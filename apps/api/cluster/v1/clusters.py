"""Endpoints of the region."""

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, RegionViewSet
from apps.api.fields import Nothing
from apps.api.places import ClusterFilters, RegionalClusterOut
from apps.core.permissions import Permission
from apps.regions import selectors, services
from apps.regions.models import Cluster


class ClusterViewSet(RegionViewSet):
    """The endpoints that run the region's machines."""

    id_prefix = "clu"
    filters = ClusterFilters
    calls = {
        "list": Call(Permission.CLUSTER_READ, RegionalClusterOut, summary="List clusters"),
        "retrieve": Call(Permission.CLUSTER_READ, RegionalClusterOut, summary="Look at a cluster"),
        "recheck": Call(
            Permission.CLUSTER_READ, RegionalClusterOut, Nothing, 202, summary="Look at the endpoint now"
        ),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_clusters(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """Without its configuration."""
        return self.answer(self._cluster(id))

    @action(detail=True, methods=["post"])
    def recheck(self, request: Request, id: str) -> Response:
        """Instead of in a few seconds."""
        self.body()
        return self.answer(services.recheck_cluster(actor=self.actor, cluster=self._cluster(id)))

    def _cluster(self, id: str) -> Cluster:
        return selectors.find_cluster(actor=self.actor, cluster_id=self.id_of("clu", id))
