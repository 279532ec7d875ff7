"""Where the older systems' clients ask for prices and follow what happens."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.api.user.v1.cost import CostViewSet
from apps.api.user.v1.events import EventViewSet

router = SimpleRouter(trailing_slash=False)
router.register("cost", CostViewSet, "older-cost")

urlpatterns = [*router.urls, path("sse/stream", EventViewSet.as_view({"get": "list"}), name="older-events")]
