"""What the registry hears from below."""

from typing import Any

from django.dispatch import receiver

from apps.core.actor import Actor
from apps.operations.models import Operation
from apps.operations.signals import cancel_requested
from apps.registry import services


@receiver(cancel_requested)
def call_off(*, operation: Operation, actor: Actor, **_kwargs: Any) -> None:
    if operation.target_type == "model_version":
        services.give_up(actor=actor, version_id=operation.target_id)
