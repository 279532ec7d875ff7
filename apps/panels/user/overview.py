"""The first page of a workspace: what runs, what it costs, how long the money lasts, what is left to do."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.billing.models import TokenRequest
from apps.billing.selectors import usage, wallets
from apps.billing.selectors.wallets import Balance
from apps.core.permissions import Permission
from apps.instances.models import Instance
from apps.instances.states import State
from apps.operations.models import Operation
from apps.operations.selectors import list_operations
from apps.panels import instances, words
from apps.panels.kit import (
    Chart,
    Column,
    Empty,
    Events,
    Happened,
    Html,
    Kpi,
    Kpis,
    Link,
    Note,
    Page,
    Series,
    Table,
    cells,
    shell,
)
from apps.users.selectors import ssh_keys

RANGES = ((7, _("7 d")), (30, _("30 d")), (90, _("90 d")))
ROWS = 6
COLORS = ("s1", "s2", "s3", "s4")


class Overview(Page):
    panel = "console"
    permission = Permission.WORKSPACE_READ
    title = _("Overview")
    live = "instance."
    links: ClassVar = (Link(_("Launch instance"), "launch", Permission.INSTANCE_CREATE),)

    # ------------------------------------------------------------ reads

    @cached_property
    def newest(self) -> list[Instance]:
        rows = self.place.narrow(Instance.objects.visible_to(self.actor)).exclude(state=State.DELETED)
        return list(rows.select_related("region", "type__gpu_model", "image").order_by("-pk")[:200])

    @cached_property
    def running(self) -> list[Instance]:
        return [one for one in self.newest if one.state == State.RUNNING]

    @cached_property
    def money(self) -> Balance | None:
        return wallets.balance_in(self.wallet) if self.wallet else None

    @cached_property
    def days(self) -> int:
        asked = self.request.GET.get("days", "")
        return int(asked) if asked in {str(days) for days, _label in RANGES} else 30

    @cached_property
    def recent(self) -> list[Operation]:
        return list(self.place.narrow(list_operations(actor=self.actor))[:8])

    def _spent(self, since: Any, until: Any) -> Any:
        team_id = self.place.team.pk if self.place.team else None
        return usage.usage_days(self.actor, team_id=team_id, since=since, until=until)

    # ------------------------------------------------------------ blocks

    def top(self) -> list[Any]:
        blocks: list[Any] = []
        if self.money is not None and self.money.burn > 0 and (self.money.runway or 0) < 24:
            left = cells.duration(float(self.money.runway or 0) * 3600)
            text = _now("At this rate the balance lasts %(time)s. Machines stop when it is used up.") % {
                "time": left
            }
            blocks.append(Note(text, "warn", self._billing_link()))
        if self.newest:
            blocks.append(Kpis(self._kpis()))
        return blocks

    def _billing_link(self) -> tuple[Any, str] | None:
        address = shell.link(self.place, "billing")
        return (_("See billing"), address) if address else None

    def _kpis(self) -> list[Kpi]:
        gpus = sum(one.gpus for one in self.running)
        places = len({one.region_id for one in self.running})
        hourly = sum((one.hourly for one in self.running), Decimal(0))
        currency = self.place.team.currency if self.place.team else "EUR"
        note = ngettext("%(gpus)s GPUs in %(places)s region", "%(gpus)s GPUs in %(places)s regions", places)
        note = note % {"gpus": gpus, "places": places}
        items = [
            Kpi(_("Running now"), len(self.running), _now("of %(n)s") % {"n": len(self.newest)}, note),
            Kpi(_("Spending here"), cells.money(hourly, currency), _("per hour"), self._burn_note(hourly)),
        ]
        if self.can(Permission.USAGE_READ):
            items.append(self._month(currency))
        if self.money is not None:
            items.append(self._balance(self.money))
        return items

    def _burn_note(self, hourly: Decimal) -> str:
        if self.money is None or self.money.burn <= hourly:
            return _now("this workspace")
        return _now("%(all)s in the whole team") % {"all": cells.money(self.money.burn, self.money.currency)}

    def _month(self, currency: str) -> Kpi:
        today = timezone.now().date()
        before = today - timedelta(days=1)
        first = today.replace(day=1)
        spent, yesterday = usage.totals(
            self._spent(min(first, before), today), (first, today), (before, before)
        )
        note = _now("%(sum)s yesterday") % {"sum": cells.money(yesterday, currency)}
        return Kpi(_("This month"), cells.money(spent, currency), note=note)

    def _balance(self, money: Balance) -> Kpi:
        hours = money.runway
        lasts = (
            _now("nothing is being used")
            if hours is None
            else _now("lasts %(time)s at this rate") % {"time": cells.duration(float(hours) * 3600)}
        )
        return Kpi(_("Balance"), cells.money(money.balance, money.currency), note=lasts)

    def main(self) -> list[Any]:
        if not self.newest:
            return [Html("console/welcome.html", {"steps": self._steps(), "launch": self.url("launch")})]
        blocks: list[Any] = [self._machines()]
        if self.can(Permission.USAGE_READ):
            blocks.insert(0, self._spend())
        return blocks

    def _spend(self) -> Chart:
        until = timezone.now().date()
        since = until - timedelta(days=self.days - 1)
        series = usage.series(self._spent(since, until), since=since, until=until)
        currency = self.place.team.currency if self.place.team else "EUR"
        names = list(series.products)
        shown = [(name, series.products[name]) for name in names[:3]]
        if len(names) > 3:
            rest = [
                sum(values, Decimal(0))
                for values in zip(*(series.products[n] for n in names[3:]), strict=True)
            ]
            shown.append((_now("others"), rest))
        lines = [
            Series(
                _product(name),
                [float(v) for v in values],
                color,
                note=cells.money(sum(values, Decimal(0)), currency),
            )
            for (name, values), color in zip(shown, COLORS, strict=False)
        ]
        times = [
            datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())
            for day in series.days
        ]
        total = cells.money(sum(series.totals, Decimal(0)), currency)
        ranges = [(label, f"{self.request.path}?days={days}", days == self.days) for days, label in RANGES]
        return Chart(
            "spend",
            _("Spend of the team"),
            [moment.timestamp() for moment in times] if lines else [],
            lines,
            _now("Spend per day by product; %(total)s in %(days)s days.")
            % {"total": total, "days": self.days},
            kind="bars",
            unit="money",
            currency=currency,
            stack=True,
            days=True,
            ranges=ranges,
            empty=_now("Nothing was charged in this time."),
        )

    def _machines(self) -> Table:
        columns = [
            Column("name", _("Name"), main=True, to="instance"),
            instances.STATE,
            replace(instances.GPUS, priority=2),
            instances.REGION,
            instances.HOURLY,
        ]
        link = (_("View all"), self.url("instances"))
        shown = sorted(self.newest, key=lambda one: one.state != State.RUNNING)[:ROWS]
        return Table(_("Instances"), columns, shown, Empty(_("No machine")), link=link, view=self)

    def aside(self) -> list[Any]:
        if not self.newest:
            return []
        steps = self._steps()
        blocks: list[Any] = []
        if not all(step["done"] for step in steps):
            blocks.append(Html("console/todo.html", {"steps": steps}))
        link = (_("All"), self.url("activity"))
        return [*blocks, Events(_("Activity"), [self._line(one) for one in self.recent], link=link)]

    def _line(self, one: Operation) -> Happened:
        tone = {"succeeded": "ok", "failed": "bad", "running": "info", "pending": "info"}.get(one.state, "")
        text = f"{words.kind(one.kind)} {one.target_name}"
        why = one.error_message or one.actor_label
        return Happened(text, one.created_at, why, tone, self.url("operation", pk=one.pk))

    def _steps(self) -> list[dict[str, Any]]:
        """What a new team does first; each is done or leads to its page."""
        paid = self.money is None or self.money.spendable > 0 or self.money.burn > 0
        return [
            {
                "label": _("Add an SSH key"),
                "text": _("It is put on the machines you launch."),
                "done": ssh_keys(self.actor).exists(),
                "url": shell.link(self.place, "ssh-keys"),
            },
            {
                "label": _("Put money on the balance"),
                "text": _("Pay by card or transfer, or ask your provider."),
                "done": paid,
                "url": shell.link(self.place, "top-up"),
            },
            {
                "label": _("Launch a machine"),
                "text": _("See the price first, log in a minute later."),
                "done": bool(self.newest),
                "url": self.url("launch"),
            },
            {
                "label": _("Ask a model"),
                "text": _("In the playground, or with any OpenAI client and a key."),
                "done": TokenRequest.objects.visible_to(self.actor).exists(),
                "url": shell.link(self.place, "playground"),
            },
            {
                "label": _("Invite somebody"),
                "text": _("Admin, member, billing or viewer."),
                "done": self._has_company(),
                "url": shell.link(self.place, "members"),
            },
        ]

    def _has_company(self) -> bool:
        return self.place.team is not None and self.place.team.memberships.count() > 1


def _product(name: str) -> str:
    kind, _colon, rest = name.partition(":")
    return rest or {"disk": _now("Disk"), "ip": _now("Addresses")}.get(kind, kind)
