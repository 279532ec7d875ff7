"""Addresses of the User API, noun by noun."""

from rest_framework.routers import SimpleRouter

from apps.api.user.v1.events import EventViewSet
from apps.api.user.v1.instances import InstanceViewSet
from apps.api.user.v1.operations import OperationViewSet
from apps.api.user.v1.snapshots import SnapshotViewSet

router = SimpleRouter(trailing_slash=False)
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("instances/(?P<instance>[^/]+)/snapshots", SnapshotViewSet, "snapshots")
router.register("operations", OperationViewSet, "operations")

urlpatterns = router.urls
