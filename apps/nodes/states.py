"""The life of a node, and its health beside it."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class State(TextChoices):
    ENROLLING = "enrolling", _("Enrolling")
    TESTING = "testing", _("Testing")
    INITIALIZING = "initializing", _("Initializing")
    READY = "ready", _("Ready")
    CORDONED = "cordoned", _("Cordoned")
    DRAINING = "draining", _("Draining")
    MAINTENANCE = "maintenance", _("Maintenance")
    RETIRED = "retired", _("Retired")


class Health(TextChoices):
    """How long ago the node was last proven to be there."""

    HEALTHY = "healthy", _("Healthy")
    SUSPECT = "suspect", _("Suspect")
    UNREACHABLE = "unreachable", _("Unreachable")


SUSPECT_AFTER_S = 30
UNREACHABLE_AFTER_S = 50
# An agent fences its host this long after its last renewal: before anything of it may be started elsewhere.
LEASE_SECONDS = 240

_ENTERING = {State.ENROLLING, State.TESTING, State.INITIALIZING}

MACHINE = Machine.of(
    ("test", {State.ENROLLING}, State.TESTING),
    ("initialize", {State.TESTING}, State.INITIALIZING),
    ("join", {State.INITIALIZING}, State.READY),
    ("retry", {State.TESTING, State.INITIALIZING}, State.ENROLLING),
    ("cordon", {State.READY}, State.CORDONED),
    ("uncordon", {State.CORDONED, State.DRAINING, State.MAINTENANCE}, State.READY),
    ("drain", {State.READY, State.CORDONED}, State.DRAINING),
    ("maintain", {State.DRAINING, State.CORDONED}, State.MAINTENANCE),
    ("retire", _ENTERING | {State.CORDONED, State.MAINTENANCE}, State.RETIRED),
    ("return", {State.RETIRED}, State.ENROLLING),
)

# States in which machines may be on the node.
SERVING = frozenset({State.READY, State.CORDONED, State.DRAINING})
