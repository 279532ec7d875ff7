"""Writes: operations and their steps, the outbox, answered requests, periodic work."""

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

__all__ = [
    "advance",
    "cancel",
    "cancel_operation",
    "emit",
    "emit_many",
    "expire_forgotten",
    "fail",
    "finish",
    "once",
    "open_operation",
    "prune",
]
