"""Addresses of the cluster panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.cluster import (
    audit,
    clusters,
    endpoints,
    enrol,
    gpus,
    groups,
    home,
    instances,
    nodes,
    operations,
    region_map,
    staff,
    stores,
)

app_name = "cluster"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("map", region_map.RegionMap.as_view(), name="map"),
    path("nodes", nodes.NodeList.as_view(), name="nodes"),
    path("nodes/new", enrol.NodeNew.as_view(), name="node-new"),
    path("nodes/<str:pk>", nodes.NodePage.as_view(), name="node"),
    path("nodes/<str:pk>/note", nodes.NodeNote.as_view(), name="node-note"),
    path("nodes/<str:pk>/invite", enrol.NodeInvite.as_view(), name="node-invite"),
    path("gpus", gpus.GpuList.as_view(), name="gpus"),
    path("gpus/<str:pk>", gpus.GpuPage.as_view(), name="gpu"),
    path("gpu-pools", gpus.PoolList.as_view(), name="gpu-pools"),
    path("gpu-pools/<str:pk>", gpus.PoolPage.as_view(), name="gpu-pool"),
    path("groups", groups.GroupList.as_view(), name="groups"),
    path("groups/new", groups.GroupNew.as_view(), name="group-new"),
    path("groups/<str:pk>", groups.GroupPage.as_view(), name="group"),
    path("groups/<str:pk>/nodes", groups.GroupNodes.as_view(), name="group-nodes"),
    path("clusters", clusters.ClusterList.as_view(), name="clusters"),
    path("clusters/<str:pk>", clusters.ClusterPage.as_view(), name="cluster"),
    path("volumes", stores.VolumeList.as_view(), name="volumes"),
    path("datastores", stores.DatastoreList.as_view(), name="datastores"),
    path("networks", stores.NetworkList.as_view(), name="networks"),
    path("instances", instances.InstanceList.as_view(), name="instances"),
    path("instances/<str:pk>", instances.InstancePage.as_view(), name="instance"),
    path("replicas", endpoints.ReplicaList.as_view(), name="replicas"),
    path("operations", operations.OperationList.as_view(), name="operations"),
    path("operations/<str:pk>", operations.OperationDetail.as_view(), name="operation"),
    path("events", operations.EventList.as_view(), name="events"),
    path("staff", staff.StaffList.as_view(), name="staff"),
    path("audit", audit.AuditPage.as_view(), name="audit"),
]
