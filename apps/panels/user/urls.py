"""Addresses of the console panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.user import (
    access,
    activity,
    home,
    instance,
    instance_forms,
    instance_screens,
    instances,
    launch,
    money,
    overview,
    people,
    storage,
    team,
)

app_name = "console"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("overview", overview.Overview.as_view(), name="overview"),
    path("launch", launch.Launch.as_view(), name="launch"),
    path("instances", instances.InstanceList.as_view(), name="instances"),
    path("instances/<str:pk>", instance.InstancePage.as_view(), name="instance"),
    path("instances/<str:pk>/terminal", instance_screens.TerminalPage.as_view(), name="instance-terminal"),
    path("instances/<str:pk>/console", instance_screens.ConsolePage.as_view(), name="instance-console"),
    path(
        "instances/<str:pk>/terminal/ticket",
        instance_screens.TerminalTicket.as_view(),
        name="instance-terminal-ticket",
    ),
    path(
        "instances/<str:pk>/console/ticket",
        instance_screens.ConsoleTicket.as_view(),
        name="instance-console-ticket",
    ),
    path("instances/<str:pk>/rename", instance_forms.Rename.as_view(), name="instance-rename"),
    path("instances/<str:pk>/resize", instance_forms.Resize.as_view(), name="instance-resize"),
    path("instances/<str:pk>/snapshots", instance_forms.TakeSnapshot.as_view(), name="instance-snapshot"),
    path("activity", activity.Activity.as_view(), name="activity"),
    path("activity/<str:pk>", activity.OperationPage.as_view(), name="operation"),
    path("members", people.MemberList.as_view(), name="members"),
    path("members/invite", people.Invite.as_view(), name="invite"),
    path("members/invitations", people.InvitationList.as_view(), name="invitations"),
    path("members/<str:pk>", people.MemberEdit.as_view(), name="member"),
    path("workspaces", team.WorkspaceList.as_view(), name="workspaces"),
    path("workspaces/new", team.WorkspaceNew.as_view(), name="workspace-new"),
    path("workspaces/<str:pk>", team.WorkspaceEdit.as_view(), name="workspace"),
    path("settings", team.TeamSettings.as_view(), name="team-settings"),
    path("audit", people.AuditPage.as_view(), name="audit"),
    path("ssh-keys", access.SshKeyList.as_view(), name="ssh-keys"),
    path("ssh-keys/new", access.SshKeyNew.as_view(), name="ssh-key-new"),
    path("api-keys", access.ApiKeyList.as_view(), name="api-keys"),
    path("api-keys/new", access.ApiKeyNew.as_view(), name="api-key-new"),
    path("api-keys/<str:pk>", access.ApiKeyRotate.as_view(), name="api-key"),
    path("usage", money.Usage.as_view(), name="usage"),
    path("usage.csv", money.UsageCsv.as_view(), name="usage-file"),
    path("billing", money.Billing.as_view(), name="billing"),
    path("billing/entries", money.Statement.as_view(), name="ledger"),
    path("billing/prices", money.Prices.as_view(), name="prices"),
    path("volumes", storage.VolumeList.as_view(), name="volumes"),
    path("snapshots", storage.SnapshotList.as_view(), name="snapshots"),
    path("limits", storage.Limits.as_view(), name="policies"),
]
