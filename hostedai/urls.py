"""Every address of the portal, by face."""

from allauth.account.views import password_reset_from_key
from django.urls import include, path, re_path

from hostedai import health

urlpatterns = [
    path("health", health.health, name="health"),
    path("readiness", health.readiness, name="readiness"),
    path("metrics", health.metrics, name="metrics"),
    # allauth's own pattern knows no underscore, which our ids have.
    re_path(
        r"^accounts/password/reset/key/(?P<uidb36>[0-9A-Za-z_]+)-(?P<key>.+)/$",
        password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("accounts/", include("allauth.urls")),
    path("api/", include("apps.api.urls")),
    path("", include("apps.panels.urls")),
]
