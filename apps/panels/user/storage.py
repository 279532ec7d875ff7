"""The workspace's disks and snapshots, and what the team may use."""

from typing import Any

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import stores
from apps.panels.kit import Empty, Page, Shares, Table
from apps.panels.kit.columns import Column
from apps.policies.selectors import amount_of, limits_for_team, metric_name
from apps.policies.specs import UsedLimit
from apps.policies.states import Level
from apps.regions.selectors import regions_for_customers


class VolumeList(stores.VolumeList):
    panel = "console"


class SnapshotList(stores.SnapshotList):
    panel = "console"


class Limits(Page):
    """The team's resource policy, line by line, and how much of it is used."""

    panel = "console"
    permission = Permission.POLICY_READ
    title = _("Limits")
    nav = "policies"
    intro = _("What your team may use at most. What is not listed has no limit but capacity and balance.")

    def main(self) -> list[Any]:
        names = {str(one.pk): one.name for one in regions_for_customers(actor=self.actor)}
        lines = limits_for_team(actor=self.actor, team_id=str(self.team.pk))
        bars = [_bar(one, names) for one in lines if one.limit.ceiling is not None]
        if not bars:
            empty = Empty(_("No limits"), _("Nothing but capacity and your balance."), icon="scale")
            return [Table(_("Limits"), (Column("name", _("Name")),), [], empty)]
        return [Shares(_("Used of what is allowed"), bars)]


def _bar(line: UsedLimit, names: dict[str, str]) -> tuple[Any, float, Any, str]:
    most = line.limit.ceiling or 0
    share = line.used / most if most else 1.0
    tone = "bad" if share >= 1 else "warn" if share > 0.85 else "s1"
    place = names.get(line.limit.target) or (
        _now("everywhere") if line.limit.level == Level.GLOBAL else _now("in each region")
    )
    metric = line.limit.metric
    name = metric_name(metric)
    name = name.capitalize() if name.islower() else name  # "vCPUs" stays
    of = f"{amount_of(metric, line.used)} / {amount_of(metric, most)}"
    return f"{name}, {place}", share, of, tone
