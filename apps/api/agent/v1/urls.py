"""Addresses of the Agent API."""

from rest_framework.routers import SimpleRouter

from apps.api.agent.v1.nodes import HeartbeatViewSet, RegistrationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("nodes", RegistrationViewSet, "registration")
router.register("nodes", HeartbeatViewSet, "heartbeat")

urlpatterns = router.urls
