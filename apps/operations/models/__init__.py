"""Operations with their steps, the outbox and who is sent it, answered requests and periodic work."""

from apps.operations.models.operations import Operation, OperationQuerySet, OperationStep, StepQuerySet
from apps.operations.models.outbox import CurrentTransaction, Event, EventQuerySet
from apps.operations.models.webhooks import Webhook, WebhookQuerySet
from apps.operations.models.work import IdempotencyKey, Schedule

__all__ = [
    "CurrentTransaction",
    "Event",
    "EventQuerySet",
    "IdempotencyKey",
    "Operation",
    "OperationQuerySet",
    "OperationStep",
    "Schedule",
    "StepQuerySet",
    "Webhook",
    "WebhookQuerySet",
]
