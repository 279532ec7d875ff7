"""Addresses of the admin panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.admin import home, instances, keys, operations, people, teams

app_name = "admin"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("instances", instances.InstanceList.as_view(), name="instances"),
    path("instances/<str:pk>", instances.InstancePage.as_view(), name="instance"),
    path("operations", operations.OperationList.as_view(), name="operations"),
    path("operations/<str:pk>", operations.OperationDetail.as_view(), name="operation"),
    path("events", operations.EventList.as_view(), name="events"),
    path("teams", teams.TeamList.as_view(), name="teams"),
    path("teams/new", teams.TeamNew.as_view(), name="team-new"),
    path("teams/<str:pk>", teams.TeamDetail.as_view(), name="team"),
    path("users", people.UserList.as_view(), name="users"),
    path("users/<str:pk>", people.UserDetail.as_view(), name="user"),
    path("staff", people.StaffList.as_view(), name="staff"),
    path("staff/new", people.StaffNew.as_view(), name="staff-new"),
    path("audit", people.AuditPage.as_view(), name="audit"),
    path("api-keys", keys.StaffKeyList.as_view(), name="api-keys"),
    path("api-keys/new", keys.StaffKeyNew.as_view(), name="api-key-new"),
    path("api-keys/<str:pk>", keys.StaffKeyRotate.as_view(), name="api-key"),
]
