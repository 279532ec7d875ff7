"""Addresses of the Admin API, noun by noun."""

from rest_framework.routers import SimpleRouter

from apps.api.admin.v1.events import EventViewSet
from apps.api.admin.v1.instances import InstanceViewSet
from apps.api.admin.v1.operations import OperationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("operations", OperationViewSet, "operations")

urlpatterns = router.urls
