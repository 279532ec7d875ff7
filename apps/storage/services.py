"""Datastores are noted as clusters have them; volumes live and end with their instance."""

from django.db import transaction

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.regions.models import Cluster
from apps.storage.models import Datastore


@transaction.atomic
def ensure_datastore(*, actor: Actor, cluster: Cluster, name: str) -> Datastore:
    """The datastore of that name in the cluster, noted when it was not."""
    actor.require(Permission.CLUSTER_MANAGE, cluster.region.scope)
    store, is_new = Datastore.objects.get_or_create(
        cluster=cluster, name=name, defaults={"region_id": cluster.region_id}
    )
    if is_new:
        audit.record(actor=actor, action="datastore.created", target=store)
    found: Datastore = store
    return found
