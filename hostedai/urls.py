"""Every address of the portal, by face."""

from allauth.account.views import password_reset_from_key
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from apps.api import webhooks
from apps.api.agent import program
from apps.api.audiences import AUDIENCES
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
    # One page for all of one's security.
    path("accounts/sessions/", RedirectView.as_view(pattern_name="account-security")),
    path("accounts/", include("allauth.urls")),
    path("webhooks/stripe", webhooks.stripe, name="webhook-stripe"),
    path("api/", include("apps.api.urls")),
    path("agent/hostedai-agent.pyz", program.packed, name="agent-program"),
    # Before the Admin panel, whose pages begin alike.
    *[path("", include(one.older)) for one in AUDIENCES if one.older],
    path("", include("apps.panels.urls")),
]

handler403 = "apps.panels.errors.refused"
handler404 = "apps.panels.errors.not_found"
handler500 = "apps.panels.errors.broken"
