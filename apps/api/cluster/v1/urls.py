"""Addresses of the Cluster API, noun by noun."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from apps.api.cluster.v1.events import EventViewSet
from apps.api.cluster.v1.instances import InstanceViewSet
from apps.api.cluster.v1.operations import OperationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("operations", OperationViewSet, "operations")

urlpatterns = [path("regions/<str:region>/", include(router.urls))]
