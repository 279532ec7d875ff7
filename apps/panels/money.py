"""What the pages about money share: products, spans of days, the chart and the sums of usage."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import TransactionKind
from apps.billing.selectors import usage, wallets
from apps.billing.selectors.usage import UsageRow
from apps.core.actor import PLATFORM, Actor, team_scope
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.panels.kit import (
    Chart,
    Column,
    Empty,
    Facts,
    Html,
    Kpi,
    Kpis,
    Page,
    PanelView,
    Series,
    Table,
    cells,
    csvfile,
)

RANGES = ((7, _("7 d")), (30, _("30 d")), (90, _("90 d")))
GROUPS: dict[str, Any] = {
    "product": _("Product"),
    "resource": _("Machine"),
    "workspace": _("Workspace"),
    "day": _("Day"),
}
SERIES = ("s1", "s2", "s3", "s4")
MOST_ROWS = 200


def product_name(product: str) -> str:
    """What a product is called on a page."""
    kind, _colon, rest = product.partition(":")
    return rest.replace(":", " · ") or str(_NAMES.get(kind, kind))


_NAMES: dict[str, Any] = {
    "disk": _("Disk (GiB)"),
    "ip": _("Public address"),
    "fee": _("Fee"),
    "commitment": _("Missing from the commitment"),
}


def exact_time(seconds: Decimal) -> str:
    """Hours, minutes and seconds, none rounded away but the parts of a second."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def kind_of(kind: str) -> Any:
    """What an entry of the ledger is, as a tag."""
    tone = {"usage": "", "top_up": "ok", "grant": "ok"}.get(kind, "info")
    return cells.tag(TransactionKind(kind).label, tone)


def signed(amount: Decimal, currency: str, digits: int = 2) -> Any:
    """An amount with its sign; what is smaller than a cent still shows that it is something."""
    if amount and abs(amount) < Decimal("0.005"):
        digits = 6
    return cells.join(
        f"+{cells.money(amount, currency, digits)}" if amount > 0 else cells.money(amount, currency, digits)
    )


def money_of(actor: Actor, team_id: str) -> list[Facts]:
    """A team's wallet beside its page, for those who may see it."""
    if not actor.can_any(Permission.BILLING_READ, team_scope(team_id), PLATFORM):
        return []
    money = wallets.balance_of(actor=actor, team_id=team_id)
    shown = {name: cells.money(getattr(money, name), money.currency) for name in _AMOUNTS}
    amounts = [(label, shown[name]) for name, label in _AMOUNTS.items()]
    hours = money.runway
    lasts = None if hours is None else cells.duration(timedelta(seconds=int(hours * 3600)))
    return [Facts(_("Money"), [*amounts, (_("Lasts"), lasts)])]


_AMOUNTS = {
    "balance": _("Balance"),
    "available": _("Free to spend"),
    "credit_limit": _("Credit limit"),
    "burn": _("Per hour"),
}


class UsagePage(Page):
    """Usage over some days: chart, figures and sums; subclasses say whose."""

    permission = Permission.USAGE_READ
    title = _("Usage")
    intro = _("Charged by the second. Days are UTC.")
    groups: ClassVar[dict[str, Any]] = GROUPS
    currency: str = "EUR"

    def usage_rows(self) -> "QuerySet[Any]":
        raise NotImplementedError

    @cached_property
    def days(self) -> int:
        asked = self.request.GET.get("days", "")
        return int(asked) if asked in {str(days) for days, _label in RANGES} else 30

    @cached_property
    def group(self) -> str:
        asked = self.request.GET.get("by", "")
        return asked if asked in self.groups else next(iter(self.groups))

    @cached_property
    def span(self) -> tuple[date, date]:
        until = timezone.now().astimezone(UTC).date()
        return until - timedelta(days=self.days - 1), until

    @cached_property
    def found(self) -> "QuerySet[Any]":
        since, until = self.span
        return self.usage_rows().filter(day__gte=since, day__lte=until)

    def address(self, **changes: Any) -> str:
        state = {"days": self.days, "by": self.group} | changes
        return f"{self.request.path}?days={state['days']}&by={state['by']}"

    # ------------------------------------------------------------ blocks

    @cached_property
    def series(self) -> usage.UsageSeries:
        since, until = self.span
        return usage.series(self.found, since=since, until=until)

    def top(self) -> list[Any]:
        totals = self.series.totals
        spent, today = sum(totals, ZERO), totals[-1]
        yesterday = totals[-2]
        dearest = next(iter(self.series.products), "")
        items = [
            Kpi(_("Spent"), cells.money(spent, self.currency), note=_now("in %(n)s days") % {"n": self.days}),
            Kpi(_("A day"), cells.money(spent / self.days, self.currency), note=_("on average")),
            Kpi(_("Today"), cells.money(today, self.currency), note=self._than(yesterday)),
        ]
        if dearest:
            most = sum(self.series.products[dearest], ZERO)
            share = _now("%(percent)s %% of it") % {"percent": round(most * 100 / spent) if spent else 0}
            items.append(Kpi(_("Mostly"), product_name(dearest), note=share))
        return [Kpis(items)]

    def _than(self, yesterday: Decimal) -> str:
        return _now("%(sum)s yesterday") % {"sum": cells.money(yesterday, self.currency)}

    def main(self) -> list[Any]:
        ranges = [(label, self.address(days=days), days == self.days) for days, label in RANGES]
        choices = [(label, self.address(by=name), name == self.group) for name, label in self.groups.items()]
        rows = usage.by_group(self.found, self.group)
        return [
            spend_chart(self.series, self.currency, ranges),
            Html(
                "kit/money/sums.html",
                {
                    "choices": choices,
                    "currencies": self.currencies(),
                    "table": self._table(rows),
                    "file": self.file_url(),
                },
            ),
        ]

    def currencies(self) -> list[tuple[Any, str, bool]]:
        """Those to choose from: name, address, whether it is shown."""
        return []

    def file_url(self) -> str:
        return f"{self.url('usage-file')}?days={self.days}"

    def _table(self, rows: Sequence[UsageRow]) -> Table:
        total = sum((row.amount for row in rows), ZERO)
        columns = (
            Column("label", self.groups[self.group], self._label, main=True),
            Column(
                "time",
                _("Time"),
                lambda row: exact_time(row.seconds) if row.seconds else cells.NONE,
                num=True,
                mono=True,
            ),
            Column(
                "units",
                _("Unit hours"),
                lambda row: cells.number(row.unit_seconds / 3600, 2) if row.unit_seconds else cells.NONE,
                num=True,
                priority=2,
            ),
            Column(
                "tokens",
                _("Tokens"),
                lambda row: cells.number(row.tokens) if row.tokens else cells.NONE,
                num=True,
                priority=2,
            ),
            Column("amount", _("Cost"), lambda row: cells.money(row.amount, self.currency, 4), num=True),
            Column(
                "share", _("Share"), lambda row: cells.bar(row.amount / total if total else ZERO), priority=3
            ),
        )
        sub = _now("the first %(n)s") % {"n": MOST_ROWS} if len(rows) > MOST_ROWS else ""
        empty = Empty(
            _("Nothing was used in this time."),
            _("What runs shows up here within a minute."),
            icon="chart-column",
        )
        return Table(_("Sums"), columns, rows[:MOST_ROWS], empty, sub=sub)

    def _label(self, row: UsageRow) -> Any:
        if self.group == "product":
            return product_name(row.label)
        return cells.two_lines(row.label, row.key) if self.group == "resource" else row.label


class UsageFile(PanelView):
    """Every day, resource and product of the span as CSV, exact to the last decimal."""

    permission = Permission.USAGE_READ
    title = _("Usage")

    COLUMNS: ClassVar = (
        Column("day", _("Day")),
        Column("team_id", _("Team")),
        Column("workspace_id", _("Workspace")),
        Column("resource_id", _("Machine")),
        Column("resource_name", _("Name")),
        Column("product", _("Product")),
        Column("seconds", _("Seconds"), text=lambda row: plain(row.seconds)),
        Column("unit_seconds", _("Unit seconds"), text=lambda row: plain(row.unit_seconds)),
        Column("quantity", _("Quantity"), text=lambda row: plain(row.quantity)),
        Column("amount", _("Cost"), text=lambda row: plain(row.amount)),
        Column("currency", _("Currency")),
    )

    def usage_rows(self) -> "QuerySet[Any]":
        raise NotImplementedError

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        asked = request.GET.get("days", "")
        days = int(asked) if asked in {str(days) for days, _label in RANGES} else 30
        since = timezone.now().astimezone(UTC).date() - timedelta(days=days - 1)
        rows = usage.named(self.usage_rows().filter(day__gte=since))
        return csvfile.stream(self, self.COLUMNS, rows.order_by("day", "resource_id", "product"))


def spend_chart(series: usage.UsageSeries, currency: str, ranges: Sequence[Any] = ()) -> Chart:
    """Money per day, stacked by product; beyond the fourth they are one."""
    names = list(series.products)
    shown = [(product_name(name), series.products[name]) for name in names[:3]]
    if len(names) == 4:
        shown.append((product_name(names[3]), series.products[names[3]]))
    elif len(names) > 4:
        rest = [sum(values, ZERO) for values in zip(*(series.products[n] for n in names[3:]), strict=True)]
        shown.append((_now("others"), rest))
    lines = [
        Series(label, [float(v) for v in values], color, note=cells.money(sum(values, ZERO), currency))
        for (label, values), color in zip(shown, SERIES, strict=False)
    ]
    times = [datetime.combine(day, time(), UTC).timestamp() for day in series.days]
    total = cells.money(sum(series.totals, ZERO), currency)
    return Chart(
        "spend",
        _("Spend by day"),
        times if lines else [],
        lines,
        _now("Spend per day by product; %(total)s in %(days)s days.") % {"total": total, "days": len(times)},
        kind="bars",
        unit="money",
        currency=currency,
        stack=True,
        days=True,
        ranges=ranges,
        empty=_now("Nothing was charged in this time."),
    )
