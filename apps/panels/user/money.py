"""A team's usage, balance, statement and prices in the Console."""

from datetime import UTC, timedelta
from functools import cached_property
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import PriceVersion, Transaction, TransactionKind
from apps.billing.selectors import ledger, prices, usage, wallets
from apps.billing.selectors.ledger import StatementLine
from apps.billing.selectors.wallets import Balance
from apps.billing.specs import HOURS_PER_DAY
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.panels import prices as price_columns
from apps.panels.kit import (
    Column,
    Empty,
    Facts,
    Filter,
    Kpi,
    Kpis,
    Link,
    Note,
    Page,
    Resource,
    SavedView,
    Table,
    cells,
)
from apps.panels.money import UsageFile, UsagePage, kind_of, product_name, signed

STATEMENT_DAYS = 30
PRODUCTS = (("type:", _("Machines")), ("gpu:", _("GPUs")), ("disk", _("Disk")), ("ip", _("Addresses")))


class Usage(UsagePage):
    panel = "console"
    links = (Link(_("Tokens by model and key"), "token-use", Permission.USAGE_READ, primary=False),)

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


class Billing(Page):
    panel = "console"
    permission = Permission.BILLING_READ
    title = _("Billing")
    intro = _("The balance pays for what runs, second by second.")
    live = "wallet."
    links: ClassVar = (
        Link(_("Prices"), "prices", Permission.PRICE_READ, icon="tag", primary=False),
        Link(_("All entries"), "ledger", Permission.BILLING_READ, icon="receipt", primary=False),
        Link(_("Payments"), "payments", Permission.BILLING_READ, icon="banknote", primary=False),
        Link(_("Cards"), "methods", Permission.BILLING_READ, icon="credit-card", primary=False),
        Link(_("Top up"), "top-up", Permission.BILLING_MANAGE, icon="plus"),
    )

    @cached_property
    def team_id(self) -> str:
        assert self.place.team is not None
        return self.place.team.pk

    @cached_property
    def money(self) -> Balance:
        return wallets.balance_of(actor=self.actor, team_id=self.team_id)

    def top(self) -> list[Any]:
        blocks: list[Any] = []
        if wallets.meters(self.actor).filter(team_id=self.team_id).in_state("short").exists():
            blocks.append(
                Note(_now("The balance no longer covers what runs. It stops in a few minutes."), "bad")
            )
        elif self.money.spendable <= 0:
            blocks.append(Note(_now("There is nothing on the balance yet: nothing can be launched."), "warn"))
        return [*blocks, Kpis(self._kpis())]

    def _kpis(self) -> list[Kpi]:
        money, currency = self.money, self.money.currency
        runway = money.runway
        lasts = "–" if runway is None else cells.duration(timedelta(seconds=int(runway * 3600)))
        held = _now("%(sum)s held for what runs") % {"sum": cells.money(money.held, currency)}
        day = _now("%(sum)s a day") % {"sum": cells.money(money.burn * HOURS_PER_DAY, currency)}
        return [
            Kpi(_("Balance"), cells.money(money.balance, currency), note=held),
            Kpi(_("Free to spend"), cells.money(money.available, currency), note=self._credit()),
            Kpi(_("Spending"), cells.money(money.burn, currency), _("per hour"), day),
            Kpi(_("Lasts"), lasts, note=_("at this rate") if runway is not None else _("nothing is running")),
        ]

    def _credit(self) -> Any:
        if not self.money.credit_limit:
            return _("without credit")
        limit = cells.money(self.money.credit_limit, self.money.currency)
        return _now("%(limit)s credit included") % {"limit": limit}

    def main(self) -> list[Any]:
        until = timezone.now().astimezone(UTC).date()
        since = until - timedelta(days=STATEMENT_DAYS)
        lines = ledger.statement(actor=self.actor, team_id=self.team_id, since=since, until=until)
        currency = self.money.currency
        columns = (
            Column("day", _("Day (UTC)"), lambda line: f"{line.day:%Y-%m-%d}", mono=True),
            Column("kind", _("Kind"), lambda line: kind_of(line.kind)),
            Column("description", _("What"), _described, priority=2),
            Column("amount", _("Amount"), lambda line: signed(line.amount, currency), num=True),
            Column("balance", _("Balance"), lambda line: cells.money(line.balance, currency), num=True),
        )
        empty = Empty(_("No entry yet"), _("Payments and usage show up here."), icon="receipt")
        sub = _now("the last %(n)s days") % {"n": STATEMENT_DAYS}
        link = (_("All entries"), self.url("ledger"))
        return [self._running(), Table(_("Statement"), columns, lines, empty, sub=sub, link=link)]

    def _running(self) -> Table:
        held = dict(wallets.holds(self.actor, self.team_id).values_list("resource_id", "amount"))
        currency = self.money.currency
        columns = (
            Column("name", _("Name"), lambda one: cells.two_lines(one.name, one.resource_id), main=True),
            Column(
                "held",
                _("Held"),
                lambda one: cells.money(held.get(one.resource_id), currency),
                num=True,
                priority=2,
            ),
            Column("hourly", _("Per hour"), lambda one: cells.price(one.hourly, currency), num=True),
            Column(
                "daily",
                _("Per day"),
                lambda one: cells.money(one.hourly * HOURS_PER_DAY, currency),
                num=True,
                priority=3,
            ),
        )
        empty = Empty(
            _("Nothing is charged now"), _("Machines are charged from the moment they run."), icon="wallet"
        )
        return Table(_("Charged now"), columns, wallets.running(self.actor, self.team_id)[:50], empty)

    def aside(self) -> list[Any]:
        money = self.money
        return [
            Facts(
                _("Account"),
                [
                    (_("Currency"), money.currency),
                    (_("Credit limit"), cells.money(money.credit_limit, money.currency)),
                    (_("Held"), cells.money(money.held, money.currency)),
                    (_("Billing"), _("prepaid, by the second")),
                ],
            ),
        ]


def _described(line: StatementLine) -> Any:
    if line.kind == TransactionKind.USAGE:
        return _now("What ran that day, %(n)s charges") % {"n": cells.number(line.entries)}
    return line.description


class Statement(Resource):
    panel = "console"
    permission = Permission.BILLING_READ
    nav = "billing"
    title = _("Entries")
    intro = _("Everything that ever changed the balance, exactly.")
    model = Transaction
    order = "-booked"
    search = ("description", "reference__exact")
    search_hint = _("Search by description or machine")
    filters = (Filter("kind", _("Kind"), TransactionKind.choices),)
    empty = Empty(_("No entry yet"), _("Payments and usage show up here."), icon="receipt")
    columns = (
        Column(
            "booked",
            _("Booked"),
            lambda one: cells.exact(one.booked_at),
            sort="booked_at",
            text=lambda one: one.booked_at.isoformat(),
        ),
        Column("kind", _("Kind"), lambda one: kind_of(one.kind), sort="kind", text=lambda one: one.kind),
        Column("description", _("What"), main=True),
        Column("reference", _("Reference"), lambda one: cells.mono(one.reference), priority=3),
        Column(
            "amount",
            _("Amount"),
            lambda one: signed(one.amount, one.currency, 4),
            num=True,
            text=lambda one: plain(one.amount),
        ),
        Column("currency", _("Currency"), priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        assert self.place.team is not None
        return ledger.entries(self.actor, team_id=self.place.team.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Billing")), self.url("billing"))]


class Prices(Resource):
    panel = "console"
    permission = Permission.PRICE_READ
    nav = "billing"
    title = _("Prices")
    intro = _("What runs is charged by the second. A price changes for the future only.")
    model = PriceVersion
    order = "product"
    search = ("product",)
    search_hint = _("Search by product")
    filters = (Filter("kind", _("Kind"), PRODUCTS, query=lambda value: Q(product__startswith=value)),)
    views = (
        SavedView("all", _("All")),
        SavedView("changing", _("About to change"), Q(valid_until__isnull=False)),
    )
    empty = Empty(_("No price yet"), _("Nothing is sold in your currency so far."), icon="tag")
    columns = (
        Column("product", _("Product"), lambda one: product_name(one.product), sort="product", main=True),
        price_columns.PRICE,
        price_columns.UNIT,
        price_columns.DAY,
        price_columns.MONTH,
        Column(
            "until",
            _("Until"),
            lambda one: cells.exact(one.valid_until),
            sort="valid_until",
            priority=2,
            text=lambda one: one.valid_until.isoformat() if one.valid_until else "",
        ),
    )

    def rows(self) -> QuerySet[Any]:
        assert self.place.team is not None
        return prices.price_list(currency=self.place.team.currency, at=timezone.now())
