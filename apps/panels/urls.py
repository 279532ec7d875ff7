"""Addresses of the three panels. A panel's scope stands in its addresses."""

from django.urls import URLPattern, URLResolver, include, path

from apps.panels.account import pages
from apps.panels.home import Door, Home
from apps.panels.kit.palette import Palette
from apps.panels.live import Live
from apps.panels.public import Status
from apps.panels.tray import Tasks

urlpatterns: list[URLPattern | URLResolver] = [
    path("", Home.as_view(), name="home"),
    path("status", Status.as_view(), name="status"),
    path("account", pages.Profile.as_view(), name="account-profile"),
    path("account/security", pages.Security.as_view(), name="account-security"),
    path("account/teams/new", pages.TeamCreate.as_view(), name="team-create"),
    path("invitations/<str:token>", pages.InvitationPage.as_view(), name="invitation"),
    path("palette", Palette.as_view(), name="palette"),
    path("tasks", Tasks.as_view(), name="tasks"),
    path("events", Live.as_view(), name="events"),
    path("console/", Door.as_view(panel="console"), name="console"),
    path("cluster/", Door.as_view(panel="cluster"), name="cluster"),
    path("console/<slug:team>/<slug:workspace>/", include("apps.panels.user.urls")),
    path("admin/", include("apps.panels.admin.urls")),
    path("cluster/<slug:region>/", include("apps.panels.cluster.urls")),
]
