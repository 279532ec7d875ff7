"""What operations refuse."""

from apps.core.errors import Conflict, Invalid


class NotCancellable(Conflict):
    code = "not_cancellable"


class TargetBusy(Conflict):
    """Another operation on the same thing is still open."""

    code = "target_busy"


class KeyReused(Conflict):
    """An idempotency key came back with another request."""

    code = "idempotency_key_reused"


class BadKey(Invalid):
    code = "idempotency_key_invalid"


class BadHook(Invalid):
    code = "webhook_invalid"


class TooManyHooks(Conflict):
    code = "too_many_webhooks"


class HookPaused(Conflict):
    """A paused webhook sends nothing, tests neither."""

    code = "webhook_paused"
