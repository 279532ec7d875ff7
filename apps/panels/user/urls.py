"""Addresses of the console panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.user import activity, home, instance, instances, launch, overview

app_name = "console"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("overview", overview.Overview.as_view(), name="overview"),
    path("launch", launch.Launch.as_view(), name="launch"),
    path("instances", instances.InstanceList.as_view(), name="instances"),
    path("instances/<str:pk>", instance.InstancePage.as_view(), name="instance"),
    path("instances/<str:pk>/terminal", instance.TerminalPage.as_view(), name="instance-terminal"),
    path("instances/<str:pk>/console", instance.ConsolePage.as_view(), name="instance-console"),
    path("instances/<str:pk>/terminal/ticket", instance.TerminalTicket.as_view(), name="instance-terminal-ticket"),
    path("instances/<str:pk>/console/ticket", instance.ConsoleTicket.as_view(), name="instance-console-ticket"),
    path("instances/<str:pk>/rename", instance.Rename.as_view(), name="instance-rename"),
    path("instances/<str:pk>/resize", instance.Resize.as_view(), name="instance-resize"),
    path("instances/<str:pk>/snapshots", instance.TakeSnapshot.as_view(), name="instance-snapshot"),
    path("activity", activity.Activity.as_view(), name="activity"),
    path("activity/<str:pk>", activity.OperationPage.as_view(), name="operation"),
]
