"""Reads of instances."""

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.instances.models import Instance, InstanceQuerySet


def list_instances(*, actor: Actor) -> InstanceQuerySet:
    """All that the actor may see and that have not been deleted, newest first."""
    visible: InstanceQuerySet = Instance.objects.visible_to(actor)
    return visible.live().with_names()


def get_instance(*, actor: Actor, instance_id: str) -> Instance:
    """One instance, deleted ones included, or NotFound."""
    found = Instance.objects.visible_to(actor).with_names().filter(pk=instance_id).first()
    if found is None:
        raise NotFound("There is no such instance.")
    instance: Instance = found
    return instance
