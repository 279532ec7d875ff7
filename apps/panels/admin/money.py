"""Usage, the ledger and what of money waits for somebody, in the Admin panel."""

from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.billing import services
from apps.billing.models import AccountKind, Transaction, TransactionKind
from apps.billing.selectors import ledger, quarantine, rated, usage, wallets
from apps.billing.selectors.ledger import AccountTotal
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.invoicing.selectors import invoices
from apps.panels.kit import (
    Action,
    Column,
    Detail,
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
    actions,
    cells,
    moment,
)
from apps.panels.money import GROUPS, UsageFile, UsagePage, kind_of, product_name
from apps.payments.selectors import rows as payments

# Which page shows what a reference names, by the beginning of its id.
SOURCES = {"inv": "invoice", "pay": "payment", "vou": "voucher", "ins": "instance"}
MOST_ROWS = 200
NOTES = {
    "customer": _("what we owe them in service"),
    "revenue": _("what was used"),
    "uncollected": _("used, but not paid for"),
    "funding": _("booked by staff"),
    "grants": _("given at our expense"),
    "payment_clearing": _("comes back to zero when the provider pays out"),
    "provider_cost": _("what partners charge us"),
    "rounding": _("from whole cents on invoices"),
}
CURRENCIES = (("EUR", "EUR"), ("USD", "USD"), ("GBP", "GBP"), ("CHF", "CHF"), ("JPY", "JPY"), ("KWD", "KWD"))


class Usage(UsagePage):
    """Of all teams that pay in one currency: there are no rates by which others could be added."""

    panel = "admin"
    groups: ClassVar = {"team": _("Team"), **{name: GROUPS[name] for name in ("product", "resource", "day")}}

    @cached_property
    def currency(self) -> str:  # type: ignore[override]
        asked = self.request.GET.get("currency", "")
        return asked if asked in dict(CURRENCIES) else CURRENCIES[0][0]

    def usage_rows(self) -> QuerySet[Any]:
        return usage.visible_days(self.actor, team_id=None).filter(team__currency=self.currency)

    def address(self, **changes: Any) -> str:
        return super().address(**changes) + f"&currency={changes.get('currency', self.currency)}"

    def currencies(self) -> list[tuple[Any, str, bool]]:
        return [(code, self.address(currency=code), code == self.currency) for code, _label in CURRENCIES]


class UsageCsv(UsageFile):
    panel = "admin"

    def usage_rows(self) -> QuerySet[Any]:
        return usage.visible_days(self.actor, team_id=None)


# ------------------------------------------------------------ ledger


def _amount(transaction: Transaction) -> Any:
    """How much moved: the sum of what was credited."""
    moved = sum((one.amount for one in transaction.postings.all() if one.amount > 0), start=0)
    return cells.money(moved, transaction.currency, 4)


class LedgerList(Resource):
    panel = "admin"
    permission = Permission.BILLING_READ
    title = _("Ledger")
    intro = _("Every transaction; its postings add up to zero. Nothing here is ever changed.")
    model = Transaction
    live = "wallet."
    order = "-booked"
    search = ("reference__exact", "team__name", "description")
    search_hint = _("Search by team, reference or description")
    filters = (
        Filter("currency", _("Currency"), CURRENCIES),
        Filter("account", _("Account"), AccountKind.choices, query=ledger.on_account),
        Filter("kind", _("Kind"), TransactionKind.choices),
    )
    views = (
        SavedView("all", _("All")),
        SavedView("usage", _("Usage"), Q(kind=TransactionKind.USAGE)),
        SavedView("money", _("Money in"), Q(kind__in=[TransactionKind.TOP_UP, TransactionKind.GRANT])),
    )
    links = (Link(_("Accounts"), "billing", Permission.BILLING_READ, icon="scale", primary=False),)
    empty = Empty(_("No transaction yet"), _("Payments and usage are booked here."), icon="receipt")
    columns = (
        moment("booked", _("Booked"), "booked_at", cells.exact, main=True, to="ledger-entry"),
        Column("kind", _("Kind"), lambda one: kind_of(one.kind), text=lambda one: one.kind),
        Column(
            "team",
            _("Team"),
            lambda one: one.team.name if one.team else cells.NONE,
            text=lambda one: one.team.name if one.team else "",
        ),
        Column("description", _("What"), priority=2),
        Column(
            "amount",
            _("Amount"),
            _amount,
            num=True,
            text=lambda one: plain(sum((p.amount for p in one.postings.all() if p.amount > 0), start=0)),
        ),
        Column("reference", _("Reference"), lambda one: cells.mono(one.reference), priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return ledger.transactions(self.actor)


class LedgerEntry(Detail):
    panel = "admin"
    permission = Permission.BILLING_READ
    nav = "ledger"
    model = Transaction

    def rows(self) -> QuerySet[Any]:
        return ledger.transactions(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Ledger")), self.url("ledger"))]

    def heading(self) -> Any:
        return self.object.description or self.object.get_kind_display()

    def status(self) -> Any:
        return kind_of(self.object.kind)

    def meta(self) -> list[Any]:
        return [cells.exact(self.object.booked_at), self.object.currency]

    def main_overview(self) -> list[Any]:
        currency = self.object.currency
        columns = (
            Column("account", _("Account"), lambda one: one.account.get_kind_display(), main=True),
            Column("id", _("Id"), lambda one: cells.mono(one.account_id), priority=2),
            Column("amount", _("Amount"), lambda one: cells.money(one.amount, currency, 12), num=True),
        )
        sub = _now("they add up to zero")
        return [Table(_("Postings"), columns, self.object.postings.all(), sub=sub), *self._usage()]

    def _usage(self) -> list[Table]:
        """The rated usage that the entry charged, down to the facts."""
        rows = list(rated.of_transaction(self.actor, self.object)[:MOST_ROWS])
        currency = self.object.currency
        columns = (
            Column("product", _("Product"), lambda one: product_name(one.product), main=True, wrap=True),
            Column(
                "at",
                _("From, and the fact behind it"),
                lambda one: cells.two_lines(
                    cells.exact(one.started_at), one.event_id or one.interval_id or one.resource_id
                ),
                priority=2,
            ),
            Column(
                "price", _("Price"), lambda one: cells.price(one.unit_price, currency), num=True, priority=3
            ),
            Column("amount", _("Amount"), lambda one: cells.money(one.amount, currency, 12), num=True),
        )
        return [Table(_("Usage it charged"), columns, rows)] if rows else []

    def aside_overview(self) -> list[Any]:
        entry = self.object
        team = cells.link(entry.team.name, self.url("team", pk=entry.team_id)) if entry.team else None
        return [
            Facts(
                _("Details"),
                [
                    (_("Id"), cells.mono(entry.pk)),
                    (_("Team"), team),
                    (_("What"), entry.description or None),
                    (_("Source"), self._source()),
                    (_("Reference"), cells.mono(entry.reference) if entry.reference else None),
                    (_("By"), entry.actor_label or None),
                    (_("Written"), cells.exact(entry.created_at)),
                ],
            )
        ]

    def _source(self) -> Any:
        """The page of what was booked, when there is one: its id is in the reference."""
        for word in self.object.reference.split():
            route = SOURCES.get(word.partition("_")[0])
            if route is not None and "_" in word:
                return cells.link(_now("show"), self.url(route, pk=word))
        return None


# ------------------------------------------------------------ accounts and meters


RESUME = Action(
    "resume",
    _("Try again"),
    Permission.PRICE_MANAGE,
    lambda view, meter: services.resume(actor=view.actor, resource_id=meter.pk),
    icon="rotate-cw",
    when=lambda meter: bool(meter.parked_because),
    done=_("It is charged again, from where it stood."),
)


# Name of the count, what it is, and where it is decided.
WAITING = (
    ("refunds", _("Refunds to approve"), "refunds", "?view=waiting"),
    ("overdue", _("Overdue invoices"), "invoices", "?view=overdue"),
    ("parked_invoices", _("Invoices that could not be made"), "invoices", "?view=parked"),
    ("quarantined", _("Usage in quarantine"), "quarantine", ""),
    ("differences", _("Differences with a provider's books"), "reconciliations", ""),
    ("disputes", _("Open disputes"), "disputes", ""),
    ("transfers", _("Transfers to come"), "payments", "?view=transfers"),
    ("stuck", _("Messages not looked into"), "payment-messages", "?view=stuck"),
)


class Finance(Page):
    panel = "admin"
    permission = Permission.BILLING_READ
    title = _("Finance")
    intro = _("What waits for somebody, and all accounts: those of a currency add up to zero.")
    live = "wallet. invoice. payment. refund."
    actions = (RESUME,)
    links = (
        Link(_("Wallets"), "wallets", Permission.BILLING_READ, icon="wallet", primary=False),
        Link(_("Invoice runs"), "invoice-runs", Permission.BILLING_READ, icon="list-checks", primary=False),
        Link(_("Companies"), "companies", Permission.BILLING_READ, icon="building-2", primary=False),
        Link(_("Tax rates"), "tax-rates", Permission.BILLING_READ, icon="scale", primary=False),
    )

    def targets(self, ids: Any) -> list[Any]:
        return list(wallets.meters(self.actor).filter(pk__in=[one[:40] for one in ids]))

    @cached_property
    def counted(self) -> dict[str, int]:
        return {
            **wallets.counts(self.actor),
            **invoices.waiting(self.actor),
            **payments.waiting(self.actor),
            "quarantined": quarantine.open_count(self.actor),
        }

    def top(self) -> list[Any]:
        counted = self.counted
        parked = ngettext(
            "%(n)s resource is not charged until somebody has looked.",
            "%(n)s resources are not charged until somebody has looked.",
            counted["parked"],
        ) % {"n": counted["parked"]}
        items = [
            Kpi(_("Wallets"), counted["wallets"]),
            Kpi(_("Charged now"), counted["running"], _("resources")),
            Kpi(_("Cannot pay"), counted["short"], _("resources"), _("stopped after the grace period")),
            Kpi(_("Overdue"), counted["overdue"], _("invoices"), _("reminders go out by themselves")),
        ]
        return [*([Note(parked, "bad")] if counted["parked"] else []), Kpis(items)]

    def main(self) -> list[Any]:
        columns = (
            Column("kind", _("Account"), self._account, main=True),
            Column("accounts", _("Number"), num=True, priority=2),
            Column("currency", _("Currency")),
            Column("balance", _("Balance"), lambda row: cells.price(row.balance, row.currency), num=True),
        )
        empty = Empty(_("No account yet"), _("They are made when something is booked."), icon="scale")
        rows = ledger.account_totals(self.actor)
        sums: dict[str, Decimal] = {}
        for row in rows:
            sums[row.currency] = sums.get(row.currency, ZERO) + row.balance
        sub = " · ".join(
            _now("all together %(sum)s") % {"sum": cells.price(sum_, code)} for code, sum_ in sums.items()
        )
        return [
            self._waiting(),
            *self._meters("parked", _("Parked")),
            *self._meters("short", _("Cannot pay")),
            Table(_("Accounts"), columns, rows, empty, sub=sub),
        ]

    def _waiting(self) -> Table:
        """What a person has to decide, with the way there."""
        rows = [
            (label, self.counted[name], f"{self.url(route)}{query}")
            for name, label, route, query in WAITING
            if self.counted[name]
        ]
        columns = (
            Column("what", _("What"), lambda row: cells.link(row[0], row[2]), main=True),
            Column("count", _("How many"), lambda row: cells.number(row[1]), num=True),
        )
        empty = Empty(_("Nothing waits"), _("Whatever needs a decision shows up here."), icon="circle-check")
        return Table(_("Waits for somebody"), columns, rows, empty)

    def _account(self, row: AccountTotal) -> Any:
        label, note = AccountKind(row.kind).label, NOTES.get(row.kind, "")
        address = f"{self.url('ledger')}?account={row.kind}&currency={row.currency}"
        return cells.two_lines(cells.link(label, address), note)

    def _why(self, meter: Any) -> Any:
        """What holds it up; of what has no price, with the way to give it one from that moment on."""
        product, gap, at = meter.parked_because.partition(" has no price at ")
        if not gap:
            return meter.parked_because or cells.when(meter.short_since)
        asked = urlencode({"product": product, "currency": meter.currency, "from": at})
        way_out = cells.link(_("Set a price"), f"{self.url('price-new')}?{asked}")
        return cells.two_lines(way_out, meter.parked_because)

    def _meters(self, state: str, title: Any) -> list[Table]:
        """What is parked or cannot pay, when there is any."""
        if not self.counted[state]:
            return []
        columns = (
            Column("name", _("Resource"), lambda one: cells.two_lines(one.resource_name, one.pk), main=True),
            Column(
                "team",
                _("Team"),
                lambda one: cells.link(one.team.name, self.url("team", pk=one.team_id)),
                priority=2,
            ),
            Column("why", _("Why"), self._why, wrap=True),
            Column(
                "hourly",
                _("Per hour"),
                lambda one: cells.price(one.hourly, one.currency),
                num=True,
                priority=2,
            ),
        )
        found = wallets.meters(self.actor).in_state(state).order_by("metered_until", "pk")[:50]
        return [Table(title, columns, list(found), buttons=lambda one: actions.buttons(self, (RESUME,), one))]
