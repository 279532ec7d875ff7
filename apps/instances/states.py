"""Two axes, never one: what the owner wants (`Desired`, written by services) and what is (`State`,
written by reconcilers). Health is a third column, the work in hand (`Work`) a fourth."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class State(TextChoices):
    """Where an instance is."""

    PENDING = "pending", _("Pending")
    PROVISIONING = "provisioning", _("Provisioning")
    RUNNING = "running", _("Running")
    STOPPING = "stopping", _("Stopping")
    STOPPED = "stopped", _("Stopped")
    STARTING = "starting", _("Starting")
    DELETING = "deleting", _("Deleting")
    DELETED = "deleted", _("Deleted")
    FAILED = "failed", _("Failed")
    INTERRUPTED = "interrupted", _("Interrupted")


class Desired(TextChoices):
    """Where its owner wants it to be."""

    RUNNING = "running", _("Running")
    STOPPED = "stopped", _("Stopped")
    DELETED = "deleted", _("Deleted")


class Health(TextChoices):
    """What the last look showed; `unknown` before the first."""

    UNKNOWN = "unknown", _("Unknown")
    HEALTHY = "healthy", _("Healthy")
    DEGRADED = "degraded", _("Degraded")
    UNREACHABLE = "unreachable", _("Unreachable")


class Work(TextChoices):
    """What is being done to the machine beside starting, stopping and removing it."""

    NONE = "", _("Nothing")
    REBOOT = "reboot", _("Reboot")
    RESIZE = "resize", _("Resize")
    SNAPSHOT = "snapshot", _("Take a snapshot")
    UNSNAPSHOT = "unsnapshot", _("Delete a snapshot")
    RESTORE = "restore", _("Restore a snapshot")


class Access(TextChoices):
    """What a ticket opens."""

    TERMINAL = "terminal", _("Terminal")
    CONSOLE = "console", _("Serial console")


MACHINE = Machine.of(
    ("provision", {State.PENDING}, State.PROVISIONING),
    ("run", {State.PROVISIONING, State.STARTING}, State.RUNNING),
    ("stop", {State.RUNNING, State.STARTING}, State.STOPPING),
    ("rest", {State.STOPPING}, State.STOPPED),
    ("halt", {State.RUNNING}, State.STOPPED),  # it went down by itself: shut down from inside
    ("start", {State.STOPPED}, State.STARTING),
    ("fail", {State.PENDING, State.PROVISIONING}, State.FAILED),
    ("lose", {State.RUNNING, State.STOPPING, State.STOPPED, State.STARTING}, State.FAILED),
    (
        "interrupt",
        set(State) - {State.DELETING, State.DELETED, State.FAILED, State.INTERRUPTED},
        State.INTERRUPTED,
    ),
    ("delete", set(State) - {State.DELETING, State.DELETED}, State.DELETING),
    ("vanish", {State.DELETING}, State.DELETED),
)

# Nothing more will happen to these by themselves, once what they held has been proven gone.
ENDED = frozenset({State.DELETED, State.FAILED, State.INTERRUPTED})
# In these the reconciler looks again soon.
MOVING = frozenset({State.PENDING, State.PROVISIONING, State.STOPPING, State.STARTING, State.DELETING})
# In these the whole machine is charged for; elsewhere the disk at most.
CHARGED = frozenset({State.RUNNING, State.STOPPING})
