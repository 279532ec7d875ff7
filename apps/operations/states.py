"""What an operation and its steps may be."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class State(TextChoices):
    PENDING = "pending", _("Waiting")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class StepState(TextChoices):
    PENDING = "pending", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    SKIPPED = "skipped", _("Skipped")


class Plane(TextChoices):
    """Where a step ran: what the customer touched, what decided, what acted, the machine itself."""

    USER = "user", _("User plane")
    ADMIN = "admin", _("Admin plane")
    CLUSTER = "cluster", _("Cluster plane")
    MACHINE = "machine", _("Machine")


OPEN = frozenset({State.PENDING, State.RUNNING})
FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

MACHINE = Machine.of(
    ("advance", {State.PENDING}, State.RUNNING),
    ("succeed", OPEN, State.SUCCEEDED),
    ("fail", OPEN, State.FAILED),
    ("cancel", OPEN, State.CANCELLED),
)


class HookState(TextChoices):
    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")


class Pause(TextChoices):
    """Why a webhook is paused."""

    BY_HAND = "by_hand", _("Somebody paused it")
    GONE = "gone", _("The receiver said that it is gone (410)")
    FAILING = "failing", _("Nothing arrived for three days")


HOOK = Machine.of(
    ("pause", {HookState.ACTIVE}, HookState.PAUSED),
    ("resume", {HookState.PAUSED}, HookState.ACTIVE),
)
