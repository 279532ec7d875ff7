"""What may happen to a team, and what an invitation or a key is at a moment."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class TeamState(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")
    CLOSED = "closed", _("Closed")


TEAM = Machine.of(
    ("suspend", {TeamState.ACTIVE}, TeamState.SUSPENDED),
    ("resume", {TeamState.SUSPENDED}, TeamState.ACTIVE),
    ("close", {TeamState.ACTIVE, TeamState.SUSPENDED}, TeamState.CLOSED),
)
