"""How much of the store a team's models may take."""

from django.conf import settings
from django.db.models import Sum
from django.utils.translation import gettext as _

from apps.core import statements
from apps.policies.errors import QuotaExceeded
from apps.registry.models import VersionFile
from apps.registry.states import FROZEN, MOVING, State

GIB = 1024**3

# What one team has is counted by one at a time.
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('hostedai.models.' || %s, 0))"
_STORED = (FROZEN | MOVING) - {State.RETIRED}


def require_room(*, team_id: str, more: int) -> None:
    """Raise QuotaExceeded unless so many bytes more have room; what is on its way counts as there."""
    statements.run(_ALONE, [team_id])
    there = VersionFile.objects.filter(team_id=team_id, version__state__in=_STORED)
    free = settings.MODEL_STORE_GIB * GIB - (there.aggregate(sum=Sum("size"))["sum"] or 0)
    if more > free:
        raise QuotaExceeded(
            _("These files have %(more)d GiB; the team has %(free)d GiB left for models.")
            % {"more": -(-more // GIB), "free": max(free, 0) // GIB},
            field="files",
        )
