"""Endpoints that run machines."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, Nothing, TypedIdField
from apps.api.places import ClusterFilters, ClusterOut
from apps.core.permissions import Permission
from apps.regions import selectors, services
from apps.regions.models import Cluster
from apps.regions.specs import ClusterSpec

P = Permission


class ClusterIn(In):
    """A new endpoint. `config` is what its driver wants; `credentials` are sealed and never shown."""

    region_id = TypedIdField("reg")
    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    kind = serializers.CharField(max_length=20, help_text="`sim` or `libvirt`.")
    config = serializers.DictField()
    credentials = serializers.DictField(required=False)
    zone_id = TypedIdField("zon", required=False)
    auto_enrol = serializers.BooleanField(required=False)


class ClusterChangeIn(In):
    """How it is reached; without `credentials` they stay."""

    name = serializers.CharField(max_length=80, required=False)
    config = serializers.DictField(required=False)
    credentials = serializers.DictField(required=False)
    auto_enrol = serializers.BooleanField(required=False)


class ClusterMoveIn(In):
    """Which way."""

    event = serializers.ChoiceField(choices=("pause", "resume", "retire"))


class ClusterViewSet(PlatformViewSet):
    """Endpoints that run machines, each of one driver."""

    id_prefix = "clu"
    filters = ClusterFilters
    calls = {
        "list": Call(P.CLUSTER_READ, ClusterOut, summary="List clusters"),
        "create": Call(P.CLUSTER_MANAGE, ClusterOut, ClusterIn, 201, summary="Add a cluster"),
        "retrieve": Call(P.CLUSTER_READ, ClusterOut, summary="Look at a cluster"),
        "partial_update": Call(P.CLUSTER_MANAGE, ClusterOut, ClusterChangeIn, summary="Configure a cluster"),
        "move": Call(
            P.CLUSTER_MANAGE, ClusterOut, ClusterMoveIn, summary="Pause, resume or retire a cluster"
        ),
        "recheck": Call(P.CLUSTER_READ, ClusterOut, Nothing, 202, summary="Look at the endpoint now"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_clusters(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Its hosts appear within seconds."""
        body = self.body()
        region = selectors.find_region(actor=self.actor, region_id=body.pop("region_id"))
        cluster = services.create_cluster(actor=self.actor, region=region, spec=ClusterSpec(**body))
        return self.answer(cluster)

    def retrieve(self, request: Request, id: str) -> Response:
        """With its configuration."""
        return self.answer(self._cluster(id))

    def partial_update(self, request: Request, id: str) -> Response:
        """Checked by the driver's own rules."""
        cluster = self.unchanged(self._cluster(id))
        body = {"name": cluster.name, "config": cluster.config, **self.body()}
        return self.answer(services.configure_cluster(actor=self.actor, cluster=cluster, **body))

    @action(detail=True, methods=["post"])
    def move(self, request: Request, id: str) -> Response:
        """One in use is not retired."""
        cluster = self._cluster(id)
        return self.answer(services.move_cluster(actor=self.actor, cluster=cluster, **self.body()))

    @action(detail=True, methods=["post"])
    def recheck(self, request: Request, id: str) -> Response:
        """Instead of in a few seconds."""
        self.body()
        return self.answer(services.recheck_cluster(actor=self.actor, cluster=self._cluster(id)))

    def _cluster(self, id: str) -> Cluster:
        return selectors.find_cluster(actor=self.actor, cluster_id=self.id_of("clu", id))
