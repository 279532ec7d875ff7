"""Refusals about regions and clusters."""

from apps.core.errors import Conflict, Invalid


class ClusterInUse(Conflict):
    code = "cluster_in_use"


class BadClusterConfig(Invalid):
    code = "bad_cluster_config"
