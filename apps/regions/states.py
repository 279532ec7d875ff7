"""What regions and clusters may be."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine

# A cluster without an endpoint: its hosts report themselves by their agents, and no machines are made there.
AGENTS = "agents"


class RegionState(TextChoices):
    OPEN = "open", _("Open")
    LIMITED = "limited", _("Limited")  # what runs goes on; nothing new is placed
    MAINTENANCE = "maintenance", _("Maintenance")
    CLOSED = "closed", _("Closed")


class ClusterState(TextChoices):
    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")  # nothing new is placed there
    RETIRED = "retired", _("Retired")


REGION = Machine.of(
    ("open", {RegionState.LIMITED, RegionState.MAINTENANCE, RegionState.CLOSED}, RegionState.OPEN),
    ("limit", {RegionState.OPEN, RegionState.MAINTENANCE}, RegionState.LIMITED),
    ("maintain", {RegionState.OPEN, RegionState.LIMITED}, RegionState.MAINTENANCE),
    ("close", {RegionState.OPEN, RegionState.LIMITED, RegionState.MAINTENANCE}, RegionState.CLOSED),
)

CLUSTER = Machine.of(
    ("pause", {ClusterState.ACTIVE}, ClusterState.PAUSED),
    ("resume", {ClusterState.PAUSED}, ClusterState.ACTIVE),
    ("retire", {ClusterState.ACTIVE, ClusterState.PAUSED}, ClusterState.RETIRED),
)
