"""Networks are noted as clusters have them."""

from django.db import transaction

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.networks.models import Network
from apps.regions.models import Cluster


@transaction.atomic
def ensure_network(*, actor: Actor, cluster: Cluster, name: str, cidr: str = "") -> Network:
    """The network of that name in the cluster, noted when it was not."""
    actor.require(Permission.NETWORK_MANAGE, cluster.region.scope)
    network, is_new = Network.objects.get_or_create(
        cluster=cluster, name=name, defaults={"region_id": cluster.region_id, "cidr": cidr}
    )
    if is_new:
        audit.record(actor=actor, action="network.created", target=network)
    found: Network = network
    return found
