"""What pools, devices and their health may be, and what a class of isolation promises."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class PoolState(TextChoices):
    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")
    RETIRED = "retired", _("Retired")


class Isolation(TextChoices):
    """From the strictest to the loosest."""

    PASSTHROUGH = "passthrough", _("Whole GPU")
    MIG = "mig", _("Hardware partition")
    TIME_SLICE = "time_slice", _("Time slices")
    LIBRARY = "library", _("Library")


class Packing(TextChoices):
    BINPACK = "binpack", _("Fill nodes up")
    SPREAD = "spread", _("Spread over nodes")


class Security(TextChoices):
    LOW = "low", _("Low")
    MEDIUM = "medium", _("Medium")
    HIGH = "high", _("High")


class DeviceHealth(TextChoices):
    HEALTHY = "healthy", _("Healthy")
    DEGRADED = "degraded", _("Degraded")
    FAILED = "failed", _("Failed")
    MISSING = "missing", _("Not reported")


POOL = Machine.of(
    ("pause", {PoolState.ACTIVE}, PoolState.PAUSED),
    ("resume", {PoolState.PAUSED}, PoolState.ACTIVE),
    ("retire", {PoolState.ACTIVE, PoolState.PAUSED}, PoolState.RETIRED),
)

# What each class does not protect from, said to whoever rents it.
HONESTY = {
    Isolation.PASSTHROUGH: _("The whole card is yours; nobody shares it."),
    Isolation.MIG: _("Memory and cores are partitioned in hardware; the card's power and links are shared."),
    Isolation.TIME_SLICE: _(
        "Neighbours run on the same card in turns: speed varies and a fault may reach you."
    ),
    Isolation.LIBRARY: _(
        "Sharing is kept by a library inside the machine: not a wall against a hostile neighbour."
    ),
}
