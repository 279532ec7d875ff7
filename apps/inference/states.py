"""What is wanted (`Desired`, written by services) and what is (states, written by reconcilers)."""

from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class EndpointState(TextChoices):
    """Where an endpoint is, as far as its callers are concerned."""

    DEPLOYING = "deploying", _("Deploying")
    READY = "ready", _("Ready")
    DEGRADED = "degraded", _("Degraded")
    SCALED_TO_ZERO = "scaled_to_zero", _("Scaled to zero")
    DELETING = "deleting", _("Deleting")
    DELETED = "deleted", _("Deleted")


class ReplicaState(TextChoices):
    """Where one engine of an endpoint is."""

    PENDING = "pending", _("Pending")
    PROVISIONING = "provisioning", _("Provisioning")
    STARTING = "starting", _("Starting")
    READY = "ready", _("Ready")
    UNHEALTHY = "unhealthy", _("Unhealthy")
    DRAINING = "draining", _("Draining")
    STOPPED = "stopped", _("Stopped")
    PREEMPTED = "preempted", _("Preempted")
    FAILED = "failed", _("Failed")


class Desired(TextChoices):
    """Where its owner wants it to be."""

    RUNNING = "running", _("Running")
    GONE = "gone", _("Gone")


class Kind(TextChoices):
    """What a replica is."""

    LOCAL = "local", _("Process")
    MACHINE = "machine", _("Machine")
    SIM = "sim", _("Simulated")
    EXTERNAL = "external", _("External provider")


class Isolation(TextChoices):
    """What stands between one's requests and others', from the most to the least."""

    PROCESS = "process", _("A process of its own")
    SHARED = "shared", _("Shared by teams")
    EXTERNAL = "external", _("An external provider")

    @property
    def limits(self) -> Any:
        """What it does not protect from."""
        return _NOT_PROTECTED[self]


_NOT_PROTECTED = {
    Isolation.PROCESS: _("Its memory is its own; other teams’ engines run on the same host."),
    Isolation.SHARED: _(
        "Other teams’ requests are in the same engine’s memory; its cache keeps prompts apart."
    ),
    Isolation.EXTERNAL: _("That provider sees what is asked and answered."),
}


class Visibility(TextChoices):
    """Who may call: the team that owns it, or everybody (the provider's own)."""

    TEAM = "team", _("Team")
    PUBLIC = "public", _("Public")


class Metering(TextChoices):
    """What is charged: tokens of each request, or the time in which replicas serve."""

    TOKENS = "tokens", _("Per token")
    TIME = "time", _("Per replica hour")


class Policy(TextChoices):
    """How the gateway chooses among replicas."""

    ROUND_ROBIN = "round_robin", _("In turn")
    LEAST_OUTSTANDING = "least_outstanding", _("Fewest open requests")
    LEAST_LATENCY = "least_latency", _("Lowest latency")
    PREFIX_AFFINITY = "prefix_affinity", _("Same prompt, same replica")


class LimitLevel(TextChoices):
    """Whose requests and tokens are counted together, from the widest to the narrowest."""

    PLATFORM = "platform", _("Platform")
    TEAM = "team", _("Team")
    WORKSPACE = "workspace", _("Workspace")
    KEY = "key", _("API key")


class ScaleMetric(TextChoices):
    """What the number of replicas follows."""

    CONCURRENCY = "concurrency", _("Requests at once per replica")
    QUEUE = "queue", _("Waiting requests per replica")
    TOKENS = "tokens", _("Tokens per second per replica")


ENDPOINT = Machine.of(
    (
        "deploy",
        {EndpointState.READY, EndpointState.DEGRADED, EndpointState.SCALED_TO_ZERO},
        EndpointState.DEPLOYING,
    ),
    (
        "serve",
        {EndpointState.DEPLOYING, EndpointState.DEGRADED, EndpointState.SCALED_TO_ZERO},
        EndpointState.READY,
    ),
    (
        "degrade",
        {EndpointState.DEPLOYING, EndpointState.READY, EndpointState.SCALED_TO_ZERO},
        EndpointState.DEGRADED,
    ),
    (
        "sleep",
        {EndpointState.DEPLOYING, EndpointState.READY, EndpointState.DEGRADED},
        EndpointState.SCALED_TO_ZERO,
    ),
    (
        "delete",
        set(EndpointState) - {EndpointState.DELETING, EndpointState.DELETED},
        EndpointState.DELETING,
    ),
    ("vanish", {EndpointState.DELETING}, EndpointState.DELETED),
)

_COMING = {ReplicaState.PENDING, ReplicaState.PROVISIONING, ReplicaState.STARTING}
_UP = {ReplicaState.READY, ReplicaState.UNHEALTHY}

REPLICA = Machine.of(
    ("provision", {ReplicaState.PENDING}, ReplicaState.PROVISIONING),
    ("start", {ReplicaState.PROVISIONING}, ReplicaState.STARTING),
    ("serve", {ReplicaState.STARTING, ReplicaState.UNHEALTHY}, ReplicaState.READY),
    ("sicken", {ReplicaState.READY}, ReplicaState.UNHEALTHY),
    ("drain", _COMING | _UP, ReplicaState.DRAINING),
    ("stop", {ReplicaState.DRAINING}, ReplicaState.STOPPED),
    ("fail", _COMING | _UP, ReplicaState.FAILED),
    ("preempt", _COMING | _UP | {ReplicaState.DRAINING}, ReplicaState.PREEMPTED),
)

# Nothing more happens to these by themselves, once the engine has been proven gone.
ENDED = frozenset({ReplicaState.STOPPED, ReplicaState.PREEMPTED, ReplicaState.FAILED})
# On the way to serving, and serving.
COMING = frozenset(_COMING)
LIVE = frozenset(_COMING | _UP)
# In these the gateway may send requests.
ROUTABLE = frozenset({ReplicaState.READY})
# In these a replica that is metered by time is charged for, from its first readiness on.
CHARGED = frozenset({ReplicaState.READY, ReplicaState.DRAINING})
