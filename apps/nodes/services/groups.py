"""Resource groups: named subsets of a region's nodes."""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.nodes.models import Node, ResourceGroup
from apps.operations import services as operations
from apps.regions.models import Region
from apps.regions.services.regions import valid_slug


@transaction.atomic
def create_group(
    *, actor: Actor, region: Region, slug: str, name: str, description: str = ""
) -> ResourceGroup:
    actor.require(Permission.GROUP_MANAGE, region.scope)
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or len(description) > 300:
        raise Invalid(_("A name has 1 to 80 characters, a description at most 300."), field="name")
    group = ResourceGroup(region=region, slug=valid_slug(slug), name=name, description=description)
    try:
        with transaction.atomic():
            group.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            _("There is a group of that address already."), code="slug_taken", field="slug"
        ) from error
    audit.record(actor=actor, action="group.created", target=group)
    _tell(group, "group.created")
    return group


@transaction.atomic
def set_group_nodes(*, actor: Actor, group: ResourceGroup, node_ids: Iterable[str]) -> ResourceGroup:
    """Say which nodes of the region are in the group; what runs is not moved."""
    actor.require(Permission.GROUP_MANAGE, group.region.scope)
    wanted = set(node_ids)
    nodes = list(Node.objects.filter(region_id=group.region_id, pk__in=wanted))
    if len(nodes) != len(wanted):
        raise Invalid(_("One of these nodes is not in the region."), field="nodes")
    group.nodes.set(nodes)
    audit.record(actor=actor, action="group.nodes_set", target=group, nodes=sorted(n.name for n in nodes))
    _tell(group, "group.updated")
    return group


@transaction.atomic
def delete_group(*, actor: Actor, group: ResourceGroup) -> None:
    """Forget the group; nodes and machines stay as they are."""
    actor.require(Permission.GROUP_MANAGE, group.region.scope)
    audit.record(actor=actor, action="group.deleted", target=group)
    _tell(group, "group.deleted")
    group.delete()


def _tell(group: ResourceGroup, event: str) -> None:
    operations.emit(type=event, subject=group.pk, region_id=group.region_id, data={"name": group.name})
