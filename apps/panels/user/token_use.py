"""What models were asked, by model, key, workspace and day."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.selectors import token_use
from apps.billing.selectors.token_use import TokenSum
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.panels.kit import (
    Chart,
    Column,
    Empty,
    Html,
    Kpi,
    Kpis,
    Link,
    Page,
    PanelView,
    Series,
    Table,
    cells,
    csvfile,
)
from apps.panels.money import RANGES

GROUPS: dict[str, Any] = {"model": _("Model"), "key": _("Key"), "workspace": _("Workspace"), "day": _("Day")}
MOST_ROWS = 200


class TokenSpan(PanelView):
    """So many days until now, of the team at hand."""

    panel = "console"
    permission = Permission.USAGE_READ
    nav = "usage"

    @cached_property
    def days(self) -> int:
        asked = self.request.GET.get("days", "")
        return int(asked) if asked in {str(days) for days, _label in RANGES} else 30

    @cached_property
    def today(self) -> date:
        return timezone.now().astimezone(UTC).date()

    @property
    def found(self) -> Any:
        first = datetime.combine(self.today - timedelta(days=self.days - 1), time(), UTC)
        return token_use.requests_of(actor=self.actor, team_id=str(self.team.pk), since=first)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Usage")), self.url("usage"))]


class TokenUse(TokenSpan, Page):
    title = _("Tokens")
    intro = _("Every settled request of the team's keys. Days are UTC.")
    links = (Link(_("Requests"), "token-requests", Permission.USAGE_READ, icon="list", primary=False),)

    @property
    def currency(self) -> str:
        return self.team.currency

    @cached_property
    def group(self) -> str:
        asked = self.request.GET.get("by", "")
        return asked if asked in GROUPS else "model"

    @cached_property
    def by_day(self) -> list[TokenSum]:
        return token_use.by_group(self.found, "day")

    def address(self, **changes: Any) -> str:
        state = {"days": self.days, "by": self.group} | changes
        return f"{self.request.path}?days={state['days']}&by={state['by']}"

    def top(self) -> list[Any]:
        rows = self.by_day
        spent = sum((row.amount for row in rows), ZERO)
        given = sum(row.output for row in rows)
        asked = sum(row.input + row.cached for row in rows)
        return [
            Kpis(
                [
                    Kpi(_("Requests"), cells.number(sum(row.requests for row in rows))),
                    Kpi(_("Tokens in"), cells.number(asked)),
                    Kpi(_("Tokens out"), cells.number(given)),
                    Kpi(_("Cost"), cells.price(spent, self.currency)),
                ]
            )
        ]

    def main(self) -> list[Any]:
        choices = [(label, self.address(by=name), name == self.group) for name, label in GROUPS.items()]
        rows = self.by_day if self.group == "day" else token_use.by_group(self.found, self.group)
        file = f"{self.url('token-use-file')}?days={self.days}"
        return [
            self._chart(),
            Html("kit/money/sums.html", {"choices": choices, "table": self._table(rows), "file": file}),
        ]

    def _chart(self) -> Chart:
        known = {row.key: row for row in self.by_day}
        days = [self.today - timedelta(days=back) for back in range(self.days - 1, -1, -1)]
        found = [known.get(day.isoformat()) for day in days]
        links = [(label, self.address(days=days), days == self.days) for days, label in RANGES]
        return Chart(
            "tokens",
            _("Tokens by day"),
            [datetime.combine(day, time(), UTC).timestamp() for day in days] if known else [],
            [
                Series(_("In"), [row.input + row.cached if row else 0 for row in found], "s1"),
                Series(_("Out"), [row.output if row else 0 for row in found], "s3"),
            ],
            _now("Tokens in and out per day."),
            kind="bars",
            stack=True,
            days=True,
            ranges=links,
            empty=_now("No model was asked in this time."),
        )

    def _table(self, rows: Sequence[TokenSum]) -> Table:
        number = cells.number
        columns = (
            Column("label", GROUPS[self.group], lambda row: row.label, main=True, to=_requests),
            Column("requests", _("Requests"), lambda row: number(row.requests), num=True),
            Column("input", _("In"), lambda row: number(row.input), num=True),
            Column("cached", _("Cached"), lambda row: number(row.cached), num=True, priority=3),
            Column("output", _("Out"), lambda row: number(row.output), num=True),
            Column("embedding", _("Embedded"), lambda row: number(row.embedding), num=True, priority=3),
            Column("amount", _("Cost"), lambda row: cells.money(row.amount, self.currency, 6), num=True),
        )
        empty = Empty(
            _("No model was asked in this time."),
            _("Requests show up here within seconds after they are answered."),
            icon="message-square",
        )
        return Table(_("Sums"), columns, rows[:MOST_ROWS], empty, view=self)


def _requests(view: TokenUse, row: TokenSum) -> str:
    """The requests that were added up, where the list can be narrowed to them."""
    if view.group not in ("model", "key") or not row.key:
        return ""
    return f"{view.url('token-requests')}?{urlencode({'days': view.days, view.group: row.key})}"


class TokenUseFile(TokenSpan):
    """Every day, model, key and workspace of the span as CSV, exact to the last decimal."""

    title = _("Tokens")
    COLUMNS: ClassVar = (
        Column("day", _("Day"), text=lambda row: row["day"]),
        Column("model", _("Model"), text=lambda row: row["slug"]),
        Column("key", _("Key"), text=lambda row: row["key_id"]),
        Column("workspace", _("Workspace"), text=lambda row: row["workspace_id"]),
        Column("requests", _("Requests"), text=lambda row: row["requests"]),
        Column("input", _("In"), text=lambda row: row["sum_input"]),
        Column("cached", _("Cached"), text=lambda row: row["sum_cached"]),
        Column("output", _("Out"), text=lambda row: row["sum_output"]),
        Column("embedding", _("Embedded"), text=lambda row: row["sum_embedding"]),
        Column("amount", _("Cost"), text=lambda row: plain(row["amount"])),
        Column("currency", _("Currency"), text=lambda row: row["currency"]),
    )

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return csvfile.stream(self, self.COLUMNS, token_use.by_everything(self.found))
