"""A team's usage in the Console."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.billing.selectors import usage
from apps.core.permissions import Permission
from apps.panels.kit import Link
from apps.panels.money import UsageFile, UsagePage


class Usage(UsagePage):
    panel = "console"
    links = (
        Link(_("Tokens by model and key"), "token-use", Permission.USAGE_READ, icon="hash", primary=False),
    )

    @property
    def currency(self) -> str:  # type: ignore[override]
        assert self.place.team is not None
        return self.place.team.currency

    def usage_rows(self) -> QuerySet[Any]:
        assert self.place.team is not None
        return usage.visible_days(self.actor, team_id=self.place.team.pk)


class UsageCsv(UsageFile):
    panel = "console"

    def usage_rows(self) -> QuerySet[Any]:
        assert self.place.team is not None
        return usage.visible_days(self.actor, team_id=self.place.team.pk)
