"""Addresses of the cluster panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.cluster import audit, home, instances, operations

app_name = "cluster"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("instances", instances.InstanceList.as_view(), name="instances"),
    path("instances/<str:pk>", instances.InstancePage.as_view(), name="instance"),
    path("operations", operations.OperationList.as_view(), name="operations"),
    path("operations/<str:pk>", operations.OperationDetail.as_view(), name="operation"),
    path("events", operations.EventList.as_view(), name="events"),
    path("audit", audit.AuditPage.as_view(), name="audit"),
]
