"""What endpoints hear from below. What must not run under the sender's locks waits for its commit."""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import receiver

from apps.billing.signals import headroom_lost
from apps.core.actor import Actor
from apps.inference.selectors import reading
from apps.inference.services import endpoints, replicas, rollouts
from apps.operations.models import Operation
from apps.operations.signals import cancel_requested
from apps.registry.signals import users_asked, version_revoked


@receiver(headroom_lost)
def rest_unpaid(*, resource_id: str, **_kwargs: Any) -> None:
    if resource_id.startswith("rep_"):
        replicas.rest_unpaid(replica_id=resource_id)


@receiver(cancel_requested)
def call_off(*, operation: Operation, actor: Actor, **_kwargs: Any) -> None:
    if operation.target_type == "endpoint":
        rollouts.call_off(actor=actor, operation=operation)


@receiver(version_revoked)
def drain_revoked(*, version_id: str, **_kwargs: Any) -> None:
    transaction.on_commit(partial(endpoints.mark_revoked, version_id=version_id))


@receiver(users_asked)
def name_users(*, version_id: str, **_kwargs: Any) -> list[str]:
    return reading.names_serving(version_id=version_id)
