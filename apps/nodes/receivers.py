"""What nodes hear from below."""

from typing import Any

from django.dispatch import receiver
from django.utils.translation import gettext as _

from apps.nodes.models import Node
from apps.regions.errors import ClusterInUse
from apps.regions.models import Cluster
from apps.regions.signals import cluster_retiring


@receiver(cluster_retiring)
def keep_occupied_cluster(*, cluster: Cluster, **_kwargs: Any) -> None:
    if Node.objects.filter(cluster=cluster, vcpus_used__gt=0).exists():
        raise ClusterInUse(_("Machines still run there."))
