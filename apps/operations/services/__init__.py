"""Writes: operations and their steps, the outbox and webhooks, answered requests, periodic work."""

from apps.operations.services.deliveries import mail_given_up
from apps.operations.services.idempotency import once
from apps.operations.services.operations import (
    advance,
    cancel,
    cancel_operation,
    expire_forgotten,
    fail,
    finish,
    open_operation,
)
from apps.operations.services.outbox import emit, emit_many
from apps.operations.services.retention import prune
from apps.operations.services.webhooks import (
    IssuedSecret,
    change_webhook,
    create_webhook,
    delete_webhook,
    delete_webhooks_of,
    give_up,
    pause_webhook,
    resume_webhook,
    rotate_webhook,
    send_test,
)

__all__ = [
    "IssuedSecret",
    "advance",
    "cancel",
    "cancel_operation",
    "change_webhook",
    "create_webhook",
    "delete_webhook",
    "delete_webhooks_of",
    "emit",
    "emit_many",
    "expire_forgotten",
    "fail",
    "finish",
    "give_up",
    "mail_given_up",
    "once",
    "open_operation",
    "pause_webhook",
    "prune",
    "resume_webhook",
    "rotate_webhook",
    "send_test",
]
