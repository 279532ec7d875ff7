"""Instances as the actor may see them."""

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.leases import in_time
from apps.instances.models import Instance, InstanceQuerySet, Sample
from apps.instances.states import Desired, State
from apps.nodes.models import Node
from apps.nodes.specs import Occupant
from apps.storage.models import Snapshot

POINTS = 240  # as many as a chart shows


def list_instances(*, actor: Actor) -> InstanceQuerySet:
    """All that the actor may see and that have not been deleted, newest first."""
    visible: InstanceQuerySet = Instance.objects.visible_to(actor)
    return visible.live().with_names()


def get_instance(*, actor: Actor, instance_id: str) -> Instance:
    """One instance, deleted ones included, or NotFound."""
    found = Instance.objects.visible_to(actor).with_names().filter(pk=instance_id).first()
    if found is None:
        raise NotFound(_("There is no such instance."))
    instance: Instance = found
    return instance


def list_snapshots(*, actor: Actor, instance_id: str) -> QuerySet[Snapshot]:
    """The snapshots of an instance that the actor may see, newest first."""
    return Snapshot.objects.visible_to(actor).live().filter(instance_id=instance_id)


def samples(*, actor: Actor, instance_id: str, span: timedelta = timedelta(hours=1)) -> Sequence[Sample]:
    """What was measured in the last `span`, oldest first and thinned to what a chart shows."""
    visible = Sample.objects.visible_to(actor)
    rows = list(visible.filter(instance_id=instance_id, at__gte=in_time(-span)).order_by("at"))
    step = max(len(rows) // POINTS, 1)
    return rows[::-1][::step][::-1]


def occupants(*, node: Node) -> list[Occupant]:
    """Who is on a node, and what draining does to each."""
    rows = Instance.objects.filter(node=node).placed().order_by("name")
    return [
        Occupant(
            id=str(row.pk),
            name=row.name,
            team=row.team_name,
            state=str(row.state),
            gpus=row.gpus,
            consequence=_("will be stopped; it keeps its disk and can be started when the node is back")
            if row.state == State.RUNNING
            else _("stays where it is"),
            vcpus=row.vcpus,
            is_resting=row.state == State.STOPPED and row.desired != Desired.RUNNING,
        )
        for row in rows
    ]
