"""What the team used."""

from typing import Any

from apps.api.base import TeamViewSet
from apps.api.usage import UsageActions
from apps.billing.selectors import usage


class UsageViewSet(UsageActions, TeamViewSet):
    """What the team used, and what it cost."""

    def usage_rows(self) -> Any:
        return usage.visible_days(self.actor, team_id=self.scope.id)
