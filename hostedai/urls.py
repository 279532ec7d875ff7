"""Every address of the portal, by face."""

from django.urls import include, path

from hostedai import health

urlpatterns = [
    path("health", health.health, name="health"),
    path("readiness", health.readiness, name="readiness"),
    path("metrics", health.metrics, name="metrics"),
    path("accounts/", include("allauth.urls")),
    path("api/", include("apps.api.urls")),
    path("", include("apps.panels.urls")),
]
