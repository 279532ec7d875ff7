"""Forgetting what is old."""

from datetime import timedelta

from django.db import transaction

from apps.core.actor import SYSTEM, Actor
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.operations.models import Event, IdempotencyKey, Operation
from apps.operations.states import FINAL

KEEP_OPERATIONS = timedelta(days=30)
KEEP_EVENTS = timedelta(days=30)
KEEP_KEYS = timedelta(days=1)


@transaction.atomic
def prune(*, actor: Actor = SYSTEM) -> None:
    """Forget ended operations and events after 30 days, answered requests after one."""
    actor.require(Permission.OPERATION_CANCEL)
    Operation.objects.filter(state__in=FINAL, created_at__lt=in_time(-KEEP_OPERATIONS)).delete()
    Event.objects.filter(at__lt=in_time(-KEEP_EVENTS)).delete()
    IdempotencyKey.objects.filter(created_at__lt=in_time(-KEEP_KEYS)).delete()
