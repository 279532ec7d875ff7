"""What all teams used."""

from typing import Any

import django_filters

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import TypedIdField, read_id
from apps.api.usage import UsageActions, UsageFilters, UsageOut
from apps.billing.selectors import usage
from apps.core.permissions import Permission


class TeamUsageFilters(UsageFilters):
    """The same, and by team."""

    team = django_filters.CharFilter(method="of_team", help_text="`team_…`")

    def of_team(self, rows: Any, _name: str, value: str) -> Any:
        return rows.filter(team_id=read_id("team", value)) if read_id("team", value) else rows.none()


class TeamUsageOut(UsageOut):
    """What one resource of a team used of one product on one day (UTC)."""

    team_id = TypedIdField("team")


class UsageViewSet(UsageActions, PlatformViewSet):
    """What all teams used, and what it cost."""

    filters = TeamUsageFilters
    groups = usage.STAFF_GROUPS
    calls = {
        **UsageActions.calls,
        "list": Call(Permission.USAGE_READ, TeamUsageOut, summary="List usage by day, resource and product"),
    }

    def usage_rows(self) -> Any:
        return usage.visible_days(self.actor, team_id=None)
