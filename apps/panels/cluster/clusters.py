"""Endpoints of the region."""

from apps.panels import clusters


class ClusterList(clusters.ClusterList):
    panel = "cluster"


class ClusterPage(clusters.ClusterPage):
    panel = "cluster"
