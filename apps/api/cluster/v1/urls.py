"""Addresses of the Cluster API, noun by noun."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from apps.api.cluster.v1.audit import AuditViewSet
from apps.api.cluster.v1.clusters import ClusterViewSet
from apps.api.cluster.v1.endpoints import ReplicaViewSet
from apps.api.cluster.v1.events import EventViewSet
from apps.api.cluster.v1.gpus import GpuViewSet, PoolViewSet
from apps.api.cluster.v1.groups import GroupViewSet
from apps.api.cluster.v1.instances import InstanceViewSet
from apps.api.cluster.v1.nodes import NodeViewSet
from apps.api.cluster.v1.operations import OperationViewSet
from apps.api.cluster.v1.storage import DatastoreViewSet, NetworkViewSet, VolumeViewSet

router = SimpleRouter(trailing_slash=False)
router.register("replicas", ReplicaViewSet, "replicas")
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("operations", OperationViewSet, "operations")
router.register("audit", AuditViewSet, "audit")
router.register("nodes", NodeViewSet, "nodes")
router.register("gpus", GpuViewSet, "gpus")
router.register("gpu-pools", PoolViewSet, "gpu-pools")
router.register("resource-groups", GroupViewSet, "resource-groups")
router.register("clusters", ClusterViewSet, "clusters")
router.register("volumes", VolumeViewSet, "volumes")
router.register("datastores", DatastoreViewSet, "datastores")
router.register("networks", NetworkViewSet, "networks")

urlpatterns = [path("regions/<str:region>/", include(router.urls))]
